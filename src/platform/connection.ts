import pg from 'pg';

/** Statements that are put together from parts may come in many forms; beyond these they stay nameless. */
const MOST_NAMES = 500;
/** By text, the same in all connections. */
const names = new Map<string, string>();
let generation = 0;

/**
 * A connection of the pool that has each statement parsed and planned once, by its name: of what a charge costs
 * PostgreSQL, that saves a quarter (bench/README.md).
 *
 * Names live in a session. A pooler in transaction mode gives each transaction another one, where the name is unknown
 * or stands for something else; so behind it nothing is named. And names outlive a change of the schema, which their
 * plans may not: then all are forgotten. Proof: test/platform/connection.spec.ts, and the charges behind PgBouncer in
 * test/guarantees/instances.spec.ts.
 */
export class Connection extends pg.Client {
  private ownSession = false;

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
        throw error;
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
    if (done) {
      return super.query(config, (error: Error, result: pg.QueryResult) => {
        if (error) this.examine(error, config);
        done(error, result);
      });
    }
    return super.query(config).catch((error: unknown) => {
      this.examine(error, config);
      throw error;
    });
  }

  /** A pooler tells its clients a process of its own making. */
  private async lookAtSession(): Promise<void> {
    const { rows } = await super.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    this.ownSession = isOwnSession(this, rows[0]?.pid);
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
    // `pg`'s own: the statement may still run, and its answer would be taken for the next one's.
    if (message === 'Query read timeout') this.destroy();
  }

  /** At once, and so that the pool gives it to nobody. */
  private destroy(): void {
    void this.end().catch(() => undefined); // ends by what follows
    (
      this as unknown as { connection: { stream: { destroy(): void } } }
    ).connection.stream.destroy();
  }
}

/** @param pid what `pg_backend_pid()` says. */
export function isOwnSession(client: pg.Client, pid: number | undefined): boolean {
  return pid === (client as unknown as { processID: number }).processID;
}

function nameOf(text: string): string | undefined {
  if (!names.has(text) && names.size < MOST_NAMES)
    names.set(text, `statement_${generation}_${names.size}`);
  return names.get(text);
}
