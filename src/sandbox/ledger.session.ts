import { createHash } from 'node:crypto';
import type pg from 'pg';
import { SandboxConfigError } from './config.js';

/**
 * What the ledger's statements rely on, whatever the server, the database or the role has set. Above READ COMMITTED a
 * replay would look for its key in a snapshot that is older than its lock, and charge again.
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
 * not keep a key locked for the others.
 */
const LIMITS_MS = { idle_in_transaction_session_timeout: 5_000, statement_timeout: 10_000 };

/**
 * As start-up parameters they win over what a role or a database has set. `options` is the one that PgBouncer has to
 * ignore.
 */
export const SESSION_OPTIONS = Object.entries({ ...MEANING, ...LIMITS_MS })
  .map(([name, value]) => `-c ${name}=${String(value).replaceAll(' ', '\\ ')}`)
  .join(' ');

const LOOK = `SELECT pg_backend_pid()::text AS pid, current_user AS user, current_setting('transaction_read_only') AS read_only,
  ${Object.keys(MEANING)
    .map((name) => `current_setting('${name}') AS ${name}`)
    .join(', ')}`;

/**
 * Looks at what is in force in a new session; what is refused never enters the pool.
 * @returns the server process that the session says it is.
 * @throws SandboxConfigError with the repair; an error with SQLSTATE 25006 if the session may not write.
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
 * Lets a session parse and plan each statement once, by its name: a tenth to a third of what a payment costs PostgreSQL.
 * Not behind a pooler, which names a process of its own making: there each transaction may have another session.
 * @param pid what the session itself says, by `requireFitSession`.
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

/** SQLSTATE read_only_sql_transaction: the session's server has become a standby, or the database read-only. */
const READ_ONLY = '25006';

export function isReadOnly(error: unknown): error is Error {
  return (error as { code?: unknown }).code === READ_ONLY;
}
