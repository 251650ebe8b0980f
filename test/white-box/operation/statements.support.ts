import pg from 'pg';

/** A statement as `pg` sends it. */
export interface Statement {
  text: string;
  values: unknown[];
}

/**
 * Records the statements of every connection in this process, from now on.
 * @returns the list, which grows, and a function that ends the recording
 */
export function recordStatements() {
  const sent: Statement[] = [];
  const prototype = pg.Client.prototype as { query: unknown };
  const query = prototype.query as (...args: unknown[]) => unknown;
  prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const config = args[0] as string | { text: string; values?: unknown[] };
    if (typeof config === 'object') sent.push({ text: config.text, values: config.values ?? [] });
    return query.apply(this, args);
  };
  return { sent, stop: () => void (prototype.query = query) };
}

/** The call of a prepared statement, with these values as literals. */
export function execute(name: string, values: unknown[]): string {
  return `EXECUTE ${name}${values.length > 0 ? `(${values.map(literal).join(', ')})` : ''}`;
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (Buffer.isBuffer(value)) return `'\\x${value.toString('hex')}'`;
  if (value instanceof Date) return pg.escapeLiteral(value.toISOString());
  if (Array.isArray(value)) {
    const elements = value.map((each) => JSON.stringify(String(each)));
    return pg.escapeLiteral(`{${elements.join()}}`);
  }
  return pg.escapeLiteral(typeof value === 'string' ? value : JSON.stringify(value));
}
