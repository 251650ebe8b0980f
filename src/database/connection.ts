import pg from 'pg';
import { NoConnection } from '../idempotency/errors.js';
import { findUnfitSetting, SELECT_SETTINGS, type SessionSettings } from './session.js';

/** Statements that are put together from parts may come in many forms; beyond these they stay nameless. */
const MOST_NAMES = 500;
/** SQLSTATE read_only_sql_transaction. */
const READ_ONLY = '25006';
/** By text, the same in all connections. */
const names = new Map<string, string>();
let generation = 0;

/** Of this process, in all its pools. */
const open = new Set<Connection>();

/** A session that we must not use; the message says why. */
export class UnfitSession extends Error {
  /** @param code the setting that is not as it must be, or a SQLSTATE; for the log. */
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
 * A connection of the pool that has each statement parsed and planned once, by its name: of what a keyed request
 * costs PostgreSQL, that saves a quarter (bench/README.md).
 *
 * Its session may write and has the settings that our statements rely on, or there is no connection: what libpq calls
 * `target_session_attrs=read-write`. A session that has become read-only since is closed when that shows.
 *
 * Names live in a session. A pooler in transaction mode gives each transaction another one, where the name is unknown
 * or stands for something else; so behind it nothing is named. And names outlive a change of the schema, which their
 * plans may not: then all are forgotten. Proof: test/white-box/database/connection.spec.ts, and behind PgBouncer
 * test/guarantees/instances.spec.ts.
 */
export class Connection extends pg.Client {
  protected readonly mustWrite: boolean = true;
  private ownSession = false;
  /** Statements under way. */
  private running = 0;

  constructor(config?: string | pg.ClientConfig) {
    super(config);
    // The pool listens as soon as it has the connection. One that is lost before, in our first query, is told by that
    // query's rejection; as an event that nobody hears it would end the process.
    this.on('error', () => undefined);
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- `pg` has overloads; the pool passes a callback
  override connect(callback?: any): any {
    const connected = super
      .connect()
      .then(() => this.lookAtSession())
      .catch((error: unknown) => {
        this.destroy(); // the pool forgets a connection that failed, without ending it
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
    this.running += 1;
    if (done) {
      return super.query(config, (error: Error, result: pg.QueryResult) => {
        this.running -= 1;
        if (error) this.examine(error, config);
        done(error, result);
      });
    }
    return super
      .query(config)
      .finally(() => (this.running -= 1))
      .catch((error: unknown) => {
        this.examine(error, config);
        throw error;
      });
  }

  /** Closes the session if no statement and no transaction is in it; its pool removes it at once. */
  endIfResting(): void {
    if (this.running > 0 || this.getTransactionStatus() !== 'I') return;
    this.emit('error', new UnfitSession('the session may be read-only', READ_ONLY));
    this.closeSocket();
  }

  private async lookAtSession(): Promise<void> {
    // A pooler tells its clients a process of its own making. In a session of our own, a database or role that has
    // turned synchronous_commit off since the boot has no effect. Not pinned: remote_apply and its like are stronger.
    const own = `pg_backend_pid() = ${Number(processIdOf(this))}`;
    const { rows } = await super.query<Session>(
      `SELECT pg_backend_pid() AS pid, current_setting('transaction_read_only') AS transaction_read_only, ${SELECT_SETTINGS},
         CASE WHEN ${own} AND current_setting('synchronous_commit') = 'off'
           THEN set_config('synchronous_commit', 'on', false) END`,
    );
    const session = rows[0]!;
    this.ownSession = isOwnSession(this, session.pid);
    const unfit = findUnfitSetting(session);
    if (unfit) throw new UnfitSession(`${unfit.name} is ${unfit.value}`, unfit.name);
    if (this.mustWrite && session.transaction_read_only === 'on')
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
    // Its plan returned other columns before the schema changed, or its session has lost it.
    const stale = routine === 'RevalidateCachedQuery' || code === '26000';
    if (stale && name !== undefined && names.get(text) === name) {
      generation += 1;
      names.clear();
    }
    if (code === READ_ONLY && this.mustWrite) {
      this.destroy();
      endRestingSessions(); // they were made before and may be as unfit
    }
    // `pg`'s own: the statement may still run, and its answer would be taken for the next one's.
    if (message === 'Query read timeout') this.destroy();
  }

  /** At once, and so that the pool gives it to nobody. */
  private destroy(): void {
    void this.end().catch(() => undefined); // ends by what follows
    this.closeSocket();
  }

  private closeSocket(): void {
    (
      this as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
  }
}

/** For what never writes, and may be asked of a standby. */
export class ReadingConnection extends Connection {
  protected override readonly mustWrite = false;
}

/**
 * Closes the sessions of this process that nothing uses, after one of them has become read-only without ending: its
 * server is a standby now, or the database was set so. The next connection finds the server that may be written.
 */
export function endRestingSessions(): void {
  for (const connection of open) connection.endIfResting();
}

/** @param pid what `pg_backend_pid()` says. */
export function isOwnSession(client: pg.Client, pid: number | undefined): boolean {
  return pid === processIdOf(client);
}

/** The process that the server, or a pooler in front of it, has named; a pooler names one of its own making. */
export function processIdOf(client: pg.ClientBase): number | null {
  return (client as unknown as { processID: number | null }).processID;
}

function nameOf(text: string): string | undefined {
  if (!names.has(text) && names.size < MOST_NAMES)
    names.set(text, `statement_${generation}_${names.size}`);
  return names.get(text);
}
