/**
 * What our statements rely on, whatever the server, the database or the role has set.
 *
 * Pinned by start-up parameters, which win over ALTER ROLE and ALTER DATABASE and cost no round trip. A pooler may
 * ignore them, so each new connection looks at what is in force and refuses another session (`Connection`), and so does
 * the boot, with the statement that repairs it. What the code can do without is not here: TimeZone (times are compared
 * as instants and read with their offset), search_path (it chooses the installation), client_encoding (`pg` sends it).
 * Proof: test/guarantees/other-settings.spec.ts.
 */
export const SESSION_MEANING = {
  // `pg` reads ISO times only. With another style a request's work is done outside, but its row cannot be read to settle it.
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  // Above it a lost race ends with 40001 instead of the winner's row.
  default_transaction_isolation: 'read committed',
  bytea_output: 'hex',
  standard_conforming_strings: 'on',
  // Off, a null in an array of parameters arrives as the text NULL.
  array_nulls: 'on',
  // Less rounds the ages, in ms, that deadlines are compared with.
  extra_float_digits: '1',
} as const;

/** Where more than the value above means the same. */
const ACCEPTED: Partial<Record<string, RegExp>> = {
  datestyle: /^ISO\b/,
  extra_float_digits: /^[1-3]$/,
};

/**
 * What a session may hold up, in ms. PostgreSQL enforces these whatever becomes of us.
 *
 * They travel as start-up parameters (`options=-c …`), because a SET would cost a round trip and a pooler in
 * transaction mode would give it to somebody else. PgBouncer refuses start-up parameters that it cannot follow: let
 * it ignore this one, and give the role the same values, which then hold for its server connections. The processes
 * say at boot which of them are not in force, with the statement that mends it. Migrations connect to PostgreSQL itself:
 * the role's limits would end an index build on a large table.
 *
 *     [pgbouncer]
 *     pool_mode = transaction
 *     ignore_startup_parameters = options
 */
export const SESSION_LIMITS_MS = {
  // A statement of ours takes milliseconds; one that takes this long is stuck. Shorter than the client's patience.
  statement_timeout: 10_000,
  // Less than the statement's, so that a wait for a lock is told from a slow statement.
  lock_timeout: 8_000,
  // A process that sleeps inside a transaction loses it, and with it the locks that hold others up.
  idle_in_transaction_session_timeout: 15_000,
  // A killed client's statement ends this soon, instead of running on with its locks until it is done.
  client_connection_check_interval: 500,
} as const;

/** The start-up parameter `options` that sets them. */
export function startUpOptions(settings: Record<string, string | number>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${String(value).replaceAll(' ', '\\ ')}`)
    .join(' ');
}

/** For the sessions that serve requests. */
export const SESSION_OPTIONS = startUpOptions({ ...SESSION_MEANING, ...SESSION_LIMITS_MS });

/** For those that may take their time: the audit, migrations. */
export const UNLIMITED_SESSION_OPTIONS = startUpOptions({
  ...SESSION_MEANING,
  statement_timeout: 0,
  lock_timeout: 0,
  idle_in_transaction_session_timeout: 0,
  client_connection_check_interval: SESSION_LIMITS_MS.client_connection_check_interval,
});

/** The columns of a SELECT that shows what is in force. */
export const SELECT_SETTINGS = Object.keys(SESSION_MEANING)
  .map((name) => `current_setting('${name}') AS ${name}`)
  .join(', ');

export type SessionSettings = Record<keyof typeof SESSION_MEANING, string>;

/** The first setting that changes what our statements mean. */
export function findUnfitSetting(settings: SessionSettings) {
  for (const [name, wanted] of Object.entries(SESSION_MEANING)) {
    const value = settings[name as keyof SessionSettings];
    if (value !== wanted && !ACCEPTED[name]?.test(value)) return { name, value, wanted };
  }
  return undefined;
}

/** The one-line repair of a setting that a pooler has kept from us. */
export function alterRole(user: string, name: string, value: string | number): string {
  const literal = typeof value === 'number' ? value : `'${value}'`;
  return `ALTER ROLE ${JSON.stringify(user)} SET ${name} = ${literal}`;
}
