import type pg from 'pg';
import type { DataSource } from 'typeorm';
import type { LineBody } from '../journal.js';
import { cut, type About, type Journal } from './journal-writer.js';
import { accountIn, rememberOwner, runContext } from './run-context.js';
import { stackFrames } from './stack-frames.js';

/** The open transaction of a connection. */
interface Transaction {
  about?: About;
  /** What it has written so far: `INSERT charges`. */
  writes: string[];
  /** The leases that it has changed. Recorded after its COMMIT: if the process dies earlier, nothing has changed. */
  leases: LineBody[];
}

/**
 * Records each statement of a run before it is sent, and its result. It uses the pool's own event, so no other module
 * needs to call it.
 */
export function recordStatements({ driver }: DataSource, journal: Journal): void {
  const pool = (driver as unknown as { master: pg.Pool }).master;
  const seen = new WeakSet<pg.PoolClient>();
  pool.on('acquire', (client) => {
    if (seen.has(client)) return;
    seen.add(client);
    recordConnection(client, journal);
  });
}

type Query = (...args: unknown[]) => unknown;

function recordConnection(client: pg.PoolClient, journal: Journal): void {
  const query = client.query.bind(client) as Query;
  let transaction: Transaction | undefined;
  const recorded: Query = (...args) => {
    const { sql, values } = statementOf(args);
    if (sql === undefined || sql.includes('api_keys')) return query(...args); // authentication is not part of a run
    const verb = /^\s*(\w+)/.exec(sql)?.[1]?.toUpperCase() ?? '';
    const about = aboutOf(values) ?? transaction?.about;
    const isFirst = transaction && about && !transaction.about;
    if (transaction && about) transaction.about = about;
    if (isFirst)
      journal.write({ kind: 'statement', sql: 'BEGIN', parameters: [], frames: [] }, about);
    if (verb === 'START' || verb === 'BEGIN') transaction = { writes: [], leases: [] };
    else if (about) recordStatement(journal, about, sql, values);
    const inside = transaction;
    if (verb === 'COMMIT' || verb === 'ROLLBACK') transaction = undefined;
    if (!about || verb === 'START' || verb === 'BEGIN') return query(...args);
    const frames = framesOf(sql);
    return observe(query, args, (error, result) => {
      const text = (verb === 'COMMIT' && inside?.writes.join(', ')) || shortOf(sql);
      if (error || verb === 'ROLLBACK')
        return journal.write({ kind: 'rolled-back', text: error ? codeOf(error) : text }, about);
      const leases = inside?.leases ?? [];
      const lease = leaseIn(sql, values, result);
      if (lease) leases.push(lease);
      if (!inside || verb === 'COMMIT') for (const line of leases) journal.write(line, about);
      const found = foundInstead(sql, result);
      if (found) journal.write({ kind: 'nothing-written', text: found }, about);
      if (hasWritten(sql, result)) inside?.writes.push(text);
      if (verb === 'COMMIT' || (!inside && hasWritten(sql, result)))
        journal.write({ kind: 'committed', text, frames }, about);
    });
  };
  client.query = recorded as typeof client.query;
}

const WRITES = /(?<!FOR |KEY )\b(INSERT INTO|UPDATE|DELETE FROM)\b/;

function hasWritten(sql: string, result: pg.QueryResult | undefined): boolean {
  return WRITES.test(sql) && foundInstead(sql, result) === undefined;
}

/** Why a statement that could write wrote nothing. */
function foundInstead(sql: string, result: pg.QueryResult | undefined): string | undefined {
  if (!WRITES.test(sql)) return undefined;
  const [row] = (result?.rows ?? []) as { is_new?: boolean }[];
  if (row?.is_new === false) return 'the record is there: nothing was written';
  return result?.rowCount === 0 ? '0 rows: nothing was written' : undefined;
}

function statementOf([query, values]: unknown[]): { sql?: string; values: readonly unknown[] } {
  if (typeof query === 'string') return { sql: query, values: Array.isArray(values) ? values : [] };
  const {
    text,
    values: own,
    submit,
  } = query as { text?: string; values?: unknown[]; submit?: unknown };
  if (typeof submit === 'function') return { values: [] };
  return { sql: text, values: own ?? (Array.isArray(values) ? values : []) };
}

function aboutOf(values: readonly unknown[]): About | undefined {
  const context = runContext.getStore();
  const account = accountIn(values) ?? context?.account;
  if (account === undefined) return undefined;
  rememberOwner(values, account);
  return { account, ...(context?.attempt && { attempt: context.attempt }) };
}

function recordStatement(
  journal: Journal,
  about: About,
  sql: string,
  values: readonly unknown[],
): void {
  const frames = framesOf(sql);
  journal.write(
    {
      kind: 'statement',
      sql: cut(sql.replaceAll(/\n\s+/g, '\n  ')),
      parameters: values.map(shown),
      frames,
    },
    about,
  );
}

/** The place of each statement in our code, by its text. */
const places = new Map<string, string[]>();

function framesOf(sql: string): string[] {
  if (/^\s*(COMMIT|ROLLBACK)/i.test(sql)) return [];
  if (!places.has(sql)) places.set(sql, stackFrames());
  return places.get(sql)!;
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (Buffer.isBuffer(value)) return `\\x${value.toString('hex').slice(0, 16)}…`;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return cut(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}

/** `INSERT idempotency_records, charges`. */
function shortOf(sql: string): string {
  const writes = [...sql.matchAll(/(?<!FOR |KEY )\b(INSERT INTO|UPDATE|DELETE FROM) (\w+)/g)];
  return (
    writes.map(([, verb, table]) => `${verb?.split(' ')[0]} ${table}`).join(', ') ||
    sql.trim().slice(0, 60)
  );
}

/** The lease that a statement has begun, moved or ended, from the statement's parameters. */
function leaseIn(
  sql: string,
  values: readonly unknown[],
  result: pg.QueryResult | undefined,
): (LineBody & { kind: 'lease' }) | undefined {
  if (!sql.includes('idempotency_records') || !result?.rowCount) return undefined;
  const row = result.rows[0] as
    { is_new?: boolean; epoch?: number; lease_left_ms?: number } | undefined;
  const id =
    values.find((value): value is string => /^(ch|re|ord|evt|we)_/.test(String(value))) ?? '';
  const epoch = row?.epoch;
  const now = Date.now();
  const moved = /lease_expires_at = now\(\) \+ \$(\d+)/.exec(sql)?.[1];
  if (moved) {
    const leaseMs = Number(values[Number(moved) - 1]);
    return { kind: 'lease', id, untilMs: now + leaseMs, ...(epoch && { epoch }) };
  }
  if (row?.is_new && row.lease_left_ms) {
    const untilMs = now + row.lease_left_ms;
    return { kind: 'lease', id, untilMs, ...(epoch && { epoch }) };
  }
  return /lease_expires_at = NULL/.test(sql)
    ? { kind: 'lease', id, untilMs: now, over: true }
    : undefined;
}

function observe(
  query: Query,
  args: unknown[],
  ended: (error: unknown, result?: pg.QueryResult) => void,
): unknown {
  const callback = args.at(-1);
  if (typeof callback === 'function') {
    const then = (error: unknown, result?: pg.QueryResult) => {
      ended(error, result);
      (callback as Query)(error, result);
    };
    return query(...args.slice(0, -1), then);
  }
  const result = query(...args) as Promise<pg.QueryResult>;
  return result.then(
    (value) => {
      ended(undefined, value);
      return value;
    },
    (error: unknown) => {
      ended(error);
      throw error;
    },
  );
}

function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? `refused: SQLSTATE ${code}` : 'the connection was lost';
}
