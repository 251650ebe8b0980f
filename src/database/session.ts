/**
 * Settings that our statements need, whatever the server, the database or the role has set.
 *
 * Start-up parameters set them: they override ALTER ROLE and ALTER DATABASE and cost no round trip. A pooler may
 * ignore them, so each new connection (`Connection`) and the boot check the values in force; the boot also says what to
 * repair. Not here, because the code works with any value: TimeZone (times are compared as instants and read with
 * their offset), search_path (it selects the installation), client_encoding (`pg` sends it). Proof:
 * test/guarantees/other-settings.spec.ts.
 */
export const SESSION_MEANING = {
  // `pg` reads only ISO times. With another style, the outside call happens, but settle cannot read the row.
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  // With a stricter level a lost race ends with 40001 instead of the winner's row.
  default_transaction_isolation: 'read committed',
  bytea_output: 'hex',
  standard_conforming_strings: 'on',
  // If off, a null in an array parameter arrives as the text NULL.
  array_nulls: 'on',
  // A lower value rounds the ages, in ms, that deadlines are compared with.
  extra_float_digits: '1',
} as const;

/** Settings for which several values are equivalent. */
const ACCEPTED: Partial<Record<string, RegExp>> = {
  datestyle: /^ISO\b/,
  extra_float_digits: /^[1-3]$/,
};

/**
 * How long a session may block others, in ms. PostgreSQL enforces these limits, whatever happens to our process.
 *
 * They are sent as start-up parameters (`options=-c …`). A SET would cost a round trip, and a pooler in transaction
 * mode would give it to another client's session. PgBouncer refuses start-up parameters that it cannot track. Let it
 * ignore this one, and set the same values on the role; they then apply to its server connections. At boot, the
 * processes log each limit that is not in force, with the statement that repairs it. Migrations connect to PostgreSQL
 * directly: the role's limits would end an index build on a large table.
 *
 *     [pgbouncer]
 *     pool_mode = transaction
 *     ignore_startup_parameters = options
 */
export const SESSION_LIMITS_MS = {
  // Our statements take milliseconds; one that takes this long is stuck. Clients wait longer than this.
  statement_timeout: 10_000,
  // Less than statement_timeout, so that a lock wait and a slow statement end with different errors.
  lock_timeout: 8_000,
  // A process that is suspended inside a transaction loses it, with the locks that block others.
  idle_in_transaction_session_timeout: 15_000,
  // A killed client's statement ends within this time, instead of continuing to run with its locks.
  client_connection_check_interval: 500,
} as const;

export function startUpOptions(settings: Record<string, string | number>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${String(value).replaceAll(' ', '\\ ')}`)
    .join(' ');
}

/** For the sessions of API and worker. */
export const SESSION_OPTIONS = startUpOptions({ ...SESSION_MEANING, ...SESSION_LIMITS_MS });

/** For `npm run reconcile`: its statements read a whole ledger, but its locks block others no longer than a request's. */
export const LONG_SESSION_OPTIONS = startUpOptions({
  ...SESSION_MEANING,
  ...SESSION_LIMITS_MS,
  statement_timeout: 0,
});

/** For sessions without time limits: the audit, migrations. */
export const UNLIMITED_SESSION_OPTIONS = startUpOptions({
  ...SESSION_MEANING,
  statement_timeout: 0,
  lock_timeout: 0,
  idle_in_transaction_session_timeout: 0,
  client_connection_check_interval: SESSION_LIMITS_MS.client_connection_check_interval,
});

export const SELECT_SETTINGS = Object.keys(SESSION_MEANING)
  .map((name) => `current_setting('${name}') AS ${name}`)
  .join(', ');

export type SessionSettings = Record<keyof typeof SESSION_MEANING, string>;

/** Finds the first setting that changes what our statements mean. */
export function findUnfitSetting(settings: SessionSettings) {
  for (const [name, wanted] of Object.entries(SESSION_MEANING)) {
    const value = settings[name as keyof SessionSettings];
    if (value !== wanted && !ACCEPTED[name]?.test(value)) return { name, value, wanted };
  }
  return undefined;
}

/** The statement that sets, on the role, what a pooler has ignored. */
export function alterRole(user: string, name: string, value: string | number): string {
  const literal = typeof value === 'number' ? value : `'${value}'`;
  return `ALTER ROLE ${JSON.stringify(user)} SET ${name} = ${literal}`;
}
