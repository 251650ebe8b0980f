import pg from 'pg';

/** Statements that are put together from parts may come in many forms; beyond these they stay nameless. */
const MOST_NAMES = 500;
/** The same in all connections, so that a text has one name. */
const names = new Map<string, string>();

/**
 * A connection of the pool that has each statement parsed and planned once, by its name: of what a charge costs
 * PostgreSQL, that saves a quarter (bench/README.md).
 *
 * Names live in a session. A pooler in transaction mode gives each transaction another one, where the name is unknown
 * or stands for something else; so behind it nothing is named. Proof: test/platform/connection.spec.ts, and the charges
 * behind PgBouncer in test/guarantees/instances.spec.ts.
 */
export class Connection extends pg.Client {
  private ownSession = false;

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- `pg` has overloads; the pool passes a callback
  override connect(callback?: any): any {
    const connected = super.connect().then(() => this.lookAtSession());
    if (!callback) return connected;
    void connected.then(() => callback(), callback);
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- `pg` has overloads
  override query(query: any, values?: any, callback?: any): any {
    const named = this.ownSession ? withName(query, values) : undefined;
    return named ? super.query(named, callback) : super.query(query, values, callback);
  }

  /** A pooler tells its clients a process of its own making. */
  private async lookAtSession(): Promise<void> {
    const { rows } = await super.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    this.ownSession = rows[0]?.pid === (this as unknown as { processID: number }).processID;
  }
}

/** TypeORM passes a text and its values, the queue an object of both; `pg` has queries that run themselves besides. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- as `pg` takes them
function withName(query: any, values: unknown): pg.QueryConfig | undefined {
  const config = typeof query === 'string' ? { text: query, values } : query;
  if (typeof config.text !== 'string' || !Array.isArray(config.values)) return undefined;
  if (config.name !== undefined || typeof config.submit === 'function') return undefined;
  const name = nameOf(config.text);
  return name === undefined ? undefined : { ...config, name };
}

function nameOf(text: string): string | undefined {
  if (!names.has(text) && names.size < MOST_NAMES) names.set(text, `statement_${names.size}`);
  return names.get(text);
}
