import pg from 'pg';
import { Connection, processIdOf } from '../../database/connection.js';
import { Database, databaseOptions, type Tx } from '../../database/database.js';
import { UNLIMITED_SESSION_OPTIONS } from '../../database/session.js';
import type { Gate } from './gate.js';

export type Rewrite = (sql: string) => string;

/** One actor's connection to PostgreSQL, reused by each schedule. After a crash, `connect` opens a new one. */
export class Session {
  private connection: Connection | undefined;

  constructor(
    private readonly url: string,
    private readonly rewrite: Rewrite,
  ) {}

  async connect(): Promise<void> {
    if (this.connection) return;
    const { types } = databaseOptions(this.url, 1).extra;
    // Without time limits: the controller decides how long a statement waits.
    const options = { connectionString: this.url, types, options: UNLIMITED_SESSION_OPTIONS };
    const connection = new Connection(options);
    await connection.connect();
    this.connection = connection;
  }

  get pid(): number {
    return (this.connection && processIdOf(this.connection)) ?? 0;
  }

  async query<Row>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    if (!this.connection) throw new Error('no session');
    const { rows } = (await this.connection.query(this.rewrite(sql), [...values])) as {
      rows: Row[];
    };
    return rows;
  }

  /**
   * Ends the session on the server, as the death of its process does. Returns when its locks are free: the server rolls
   * back before its process exits and the socket closes. If `pg_terminate_backend` waited itself, it would take 100 ms.
   */
  async terminate(control: pg.Client): Promise<void> {
    const { pid, connection } = this;
    if (!connection) return;
    this.connection = undefined;
    // Not `once` of node:events: the session's last message is an error, and would reject.
    const closed = new Promise<void>((resolve) => connection.once('end', resolve));
    await control.query('SELECT pg_terminate_backend($1)', [pid]);
    await closed;
  }

  async close(): Promise<void> {
    await this.connection?.end();
    this.connection = undefined;
  }
}

/**
 * The engine's database, with a gate before each statement. BEGIN has no effect on others, so it passes the gate
 * together with the first statement.
 */
export class GatedDatabase extends Database {
  constructor(
    private readonly session: Session,
    private readonly gate: Gate,
  ) {
    super();
  }

  query<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]> {
    return this.gate.pass(sql, () => this.session.query<Row>(sql, values), countOf);
  }

  async transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    const { gate } = this;
    let result: Result;
    try {
      result = await work({
        kind: 'transaction',
        query: (sql, values) => gate.pass(sql, () => this.queryInTransaction(sql, values), countOf),
      });
    } catch (error) {
      await this.end('ROLLBACK');
      throw error;
    }
    await this.end('COMMIT');
    return result;
  }

  private async queryInTransaction<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]> {
    const { gate, session } = this;
    if (gate.inTransaction) return session.query(sql, values);
    await session.query('BEGIN');
    try {
      return await session.query(sql, values);
    } finally {
      gate.inTransaction = true;
    }
  }

  /** The end of a transaction that wrote and locked nothing has no effect on others, so it is not a step. */
  private async end(statement: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    const { gate, session } = this;
    if (!gate.inTransaction) return;
    const end = async () => {
      await session.query(statement);
      gate.inTransaction = false;
    };
    if (await this.hasWritten()) await gate.pass(statement, end, () => 'done');
    else await end();
  }

  private async hasWritten(): Promise<boolean> {
    try {
      const rows = await this.session.query<{ xid: string | null }>(
        'SELECT pg_current_xact_id_if_assigned()::text AS xid',
      );
      return rows[0]?.xid !== null;
    } catch {
      return true; // a failed transaction answers no query
    }
  }
}

function countOf(rows: unknown[]): string {
  return rows.length === 1 ? '1 row' : `${rows.length} rows`;
}
