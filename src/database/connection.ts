import pg from 'pg';
import { NoConnection } from '../idempotency/errors.js';
import { findUnfitSetting, SELECT_SETTINGS, type SessionSettings } from './session.js';

/** Statements that are built from parts can have many forms. Above this number they get no name. */
const MAX_NAMED_STATEMENTS = 500;
/** SQLSTATE read_only_sql_transaction. */
const READ_ONLY = '25006';
/** Names by statement text, shared by all connections. */
const names = new Map<string, string>();
let generation = 0;

/** The open connections of this process, in all its pools. */
const open = new Set<Connection>();

/** A session that must not be used; the message says why. */
export class UnfitSession extends Error {
  /** @param code the name of the wrong setting, or a SQLSTATE; for the log. */
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
  }
}

interface Session extends SessionSettings {
  pid: number;
  transaction_read_only: string;
}

/**
 * A connection of the pool that prepares each statement once, under a name. This saves a quarter of what a keyed
 * request costs PostgreSQL (bench/README.md).
 *
 * Its session must allow writes and have the settings that our statements need; otherwise connecting fails. libpq
 * calls this `target_session_attrs=read-write`. A session that becomes read-only later is closed when a write fails.
 *
 * Names belong to a session. A pooler in transaction mode gives each transaction another session, where the name may
 * be unknown or mean another statement. So behind a pooler no statement gets a name. Names also outlive a schema
 * change, but their plans may not: then all names are dropped. Proof: test/white-box/database/connection.spec.ts, and
 * behind PgBouncer test/guarantees/instances.spec.ts.
 */
export class Connection extends pg.Client {
  protected readonly needsWrites: boolean = true;
  private ownSession = false;
  private inFlight = 0;

  constructor(config?: string | pg.ClientConfig) {
    super(config);
    // The pool adds its error listener after `connect`. A connection that is lost before that rejects our first
    // query; its 'error' event without a listener would end the process.
    this.on('error', () => undefined);
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- `pg` has overloads; the pool passes a callback
  override connect(callback?: any): any {
    const connected = super
      .connect()
      .then(() => this.checkSession())
      .catch((error: unknown) => {
        this.destroy(); // the pool drops a failed connection without closing it
        throw new NoConnection(error);
      });
    if (!callback) return connected;
    void connected.then(() => callback(), callback);
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- `pg` has overloads
  override query(query: any, values?: any, callback?: any): any {
    if (typeof query.submit === 'function') return super.query(query, values, callback);
    const [parameters, done] =
      typeof values === 'function' ? [undefined, values] : [values, callback];
    const config: pg.QueryConfig =
      typeof query === 'string'
        ? { text: query, values: parameters }
        : { values: parameters, ...query };
    if (this.ownSession && config.values?.length && config.name === undefined)
      config.name = nameOf(config.text);
    this.inFlight += 1;
    if (done) {
      return super.query(config, (error: Error, result: pg.QueryResult) => {
        this.inFlight -= 1;
        if (error) this.examine(error, config);
        done(error, result);
      });
    }
    return super
      .query(config)
      .finally(() => (this.inFlight -= 1))
      .catch((error: unknown) => {
        this.examine(error, config);
        throw error;
      });
  }

  /** Closes the session if it runs no statement and no transaction. The pool removes it immediately. */
  closeIfIdle(): void {
    if (this.inFlight > 0 || this.getTransactionStatus() !== 'I') return;
    this.emit('error', new UnfitSession('the session may be read-only', READ_ONLY));
    this.closeSocket();
  }

  private async checkSession(): Promise<void> {
    // A pooler reports another process id. Without a pooler, turn `synchronous_commit` on again if the database or role
    // has turned it off since boot. Stronger values such as remote_apply stay.
    const own = `pg_backend_pid() = ${Number(processIdOf(this))}`;
    const { rows } = await super.query<Session>(
      `SELECT pg_backend_pid() AS pid, current_setting('transaction_read_only') AS transaction_read_only, ${SELECT_SETTINGS},
         CASE WHEN ${own} AND current_setting('synchronous_commit') = 'off'
           THEN set_config('synchronous_commit', 'on', false) END`,
    );
    const session = rows[0]!;
    this.ownSession = session.pid === processIdOf(this);
    const unfit = findUnfitSetting(session);
    if (unfit) throw new UnfitSession(`${unfit.name} is ${unfit.value}`, unfit.name);
    if (this.needsWrites && session.transaction_read_only === 'on')
      throw new UnfitSession('the session is read-only', READ_ONLY);
    open.add(this);
    this.once('end', () => open.delete(this));
  }

  private examine(error: unknown, { text, name }: pg.QueryConfig): void {
    const { code, routine, message } = error as {
      code?: string;
      routine?: string;
      message?: string;
    };
    // The plan is older than a schema change, or the session has lost it.
    const stale = routine === 'RevalidateCachedQuery' || code === '26000';
    if (stale && name !== undefined && names.get(text) === name) {
      generation += 1;
      names.clear();
    }
    if (code === READ_ONLY && this.needsWrites) {
      this.destroy();
      closeIdleSessions(); // they are older and may be read-only too
    }
    // `pg` reports this itself: the statement may still run, and its result would be read as that of the next
    // statement.
    if (message === 'Query read timeout') this.destroy();
  }

  /** Closes the connection immediately, so that the pool does not use it again. */
  private destroy(): void {
    void this.end().catch(() => undefined); // the next line ends it
    this.closeSocket();
  }

  private closeSocket(): void {
    (
      this as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
  }
}

/** A connection for reads only; it may be to a standby. */
export class ReadingConnection extends Connection {
  protected override readonly needsWrites = false;
}

/**
 * Closes the idle sessions of this process, after one of them became read-only without ending: its server is now a
 * standby, or the database was set read-only. The next connection finds the server that accepts writes.
 */
export function closeIdleSessions(): void {
  for (const connection of open) connection.closeIfIdle();
}

/** The process id that the server reported at connect. A pooler reports another number. */
export function processIdOf(client: pg.ClientBase): number | null {
  return (client as unknown as { processID: number | null }).processID;
}

function nameOf(text: string): string | undefined {
  if (!names.has(text) && names.size < MAX_NAMED_STATEMENTS)
    names.set(text, `statement_${generation}_${names.size}`);
  return names.get(text);
}
