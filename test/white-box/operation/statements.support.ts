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

/** Copies each row of each table in its account, with other values in its indexed columns and in its references. */
export async function fillTables(filler: pg.Client, copies: number): Promise<void> {
  await filler.query(`SET session_replication_role = replica`); // checking foreign keys would take longer
  const { rows } = await filler.query<{ name: string; changed: string[] }>(`
    SELECT attrelid::regclass::text AS name, array_agg(attname::text) AS changed
    FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE nspname IN ('public', 'sandbox') AND relkind = 'r' AND atttypid = 'text'::regtype
      AND relname <> 'webhook_endpoints' -- an account has few, and a delivery reads all of them
      AND attname NOT IN ('account_id', 'kind', 'state', 'status', 'type')
      AND (attname LIKE '%\\_id' OR EXISTS (SELECT 1 FROM pg_index WHERE indrelid = c.oid AND attnum = ANY (indkey)))
    GROUP BY attrelid`);
  for (const { name, changed } of rows)
    await filler.query(`
      INSERT INTO ${name} OVERRIDING USER VALUE SELECT (jsonb_populate_record(row, jsonb_build_object(
        ${changed.map((column) => `'${column}', ${column} || n`).join(', ')}))).*
      FROM ${name} AS row, generate_series(1, ${copies}) AS n
      ON CONFLICT DO NOTHING`);
}

interface PlanNode {
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Join Filter'?: number;
  Plans?: PlanNode[];
}

/** Runs a statement. @returns the sum of the rows that the nodes of its plan handle. */
export async function countSteps(
  session: pg.ClientBase,
  statement: string,
  values: unknown[] = [],
): Promise<number> {
  const { rows } = await session.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
    `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ${statement}`,
    values,
  );
  return stepsOf(rows[0]!['QUERY PLAN'][0].Plan);
}

function stepsOf(node: PlanNode): number {
  const each =
    node['Actual Rows'] +
    (node['Rows Removed by Filter'] ?? 0) +
    (node['Rows Removed by Join Filter'] ?? 0);
  return (node.Plans ?? []).map(stepsOf).reduce((a, b) => a + b, each * node['Actual Loops']);
}
