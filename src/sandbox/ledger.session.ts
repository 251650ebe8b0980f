import { createHash } from 'node:crypto';
import type pg from 'pg';
import { SandboxConfigError } from './config.js';

/**
 * Settings that the ledger's statements need, whatever the server, the database or the role has set. Above READ
 * COMMITTED, a replay would read its key in a snapshot from before its lock, and charge again.
 */
const MEANING: Record<string, string> = {
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  default_transaction_isolation: 'read committed',
  bytea_output: 'hex',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  extra_float_digits: '1',
};

/**
 * Every transaction here takes milliseconds. A process that is stopped inside one (SIGSTOP, a suspended laptop) must
 * not keep a key locked for others.
 */
const LIMITS_MS = { idle_in_transaction_session_timeout: 5_000, statement_timeout: 10_000 };

/**
 * Start-up parameters override the settings of a role or database. PgBouncer refuses the parameter `options` unless it
 * is set to ignore it. Then the role needs these settings, and `requireFitSession` checks those of MEANING.
 */
export const SESSION_OPTIONS = Object.entries({ ...MEANING, ...LIMITS_MS })
  .map(([name, value]) => `-c ${name}=${String(value).replaceAll(' ', '\\ ')}`)
  .join(' ');

const LOOK = `SELECT pg_backend_pid()::text AS pid, current_user AS user, current_setting('transaction_read_only') AS read_only,
  ${Object.keys(MEANING)
    .map((name) => `current_setting('${name}') AS ${name}`)
    .join(', ')}`;

/**
 * Checks the settings of a new session; an unfit session does not enter the pool.
 * @returns the process id of the session's server process.
 * @throws SandboxConfigError with the repair; an error with SQLSTATE 25006 if the session is read-only.
 */
export async function requireFitSession(client: pg.ClientBase): Promise<{ pid: number }> {
  const { rows } = await client.query<Record<string, string>>(LOOK);
  const { pid, user, read_only, ...settings } = rows[0]!;
  if (read_only === 'on') throw Object.assign(new Error('read-only'), { code: READ_ONLY });
  for (const [name, wanted] of Object.entries(MEANING)) {
    const value = settings[name] ?? '';
    const fits = name === 'extra_float_digits' ? Number(value) >= 1 : value.startsWith(wanted);
    if (fits) continue;
    throw new SandboxConfigError(
      `the pooler in front of the database ignores the start-up parameters, and ${name} is '${value}': ALTER ROLE ${JSON.stringify(user)} SET ${name} = '${wanted}'`,
    );
  }
  return { pid: Number(pid) };
}

/**
 * Prepares each statement of a session once, under a name: saves a tenth to a third of what a payment costs
 * PostgreSQL. Not behind a pooler, which reports its own process id: there, each transaction may get another session.
 * @param pid the session's own process id, from `requireFitSession`.
 */
export function nameStatements(client: pg.ClientBase, pid: number): void {
  if (pid !== (client as { processID?: number }).processID) return;
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  const named = (first: unknown, values: unknown, ...rest: unknown[]) =>
    typeof first === 'string' && Array.isArray(values)
      ? query({ name: nameOf(first), text: first, values }, ...rest)
      : query(first, values, ...rest);
  Object.assign(client, { query: named });
}

const names = new Map<string, string>();

function nameOf(text: string): string {
  const name = names.get(text) ?? createHash('sha256').update(text).digest('hex').slice(0, 32);
  names.set(text, name);
  return name;
}

/** SQLSTATE read_only_sql_transaction: the server is now a standby, or the database was set read-only. */
const READ_ONLY = '25006';

export function isReadOnly(error: unknown): error is Error {
  return (error as { code?: unknown }).code === READ_ONLY;
}
