import pg from 'pg';
import { Connection, processIdOf } from '../../database/connection.js';
import { Database, databaseOptions, type Tx } from '../../database/database.js';
import { UNLIMITED_SESSION_OPTIONS } from '../../database/session.js';
import type { Gate } from './gate.js';

/** One actor's connection to PostgreSQL. A schedule that ends it with a crash leaves a new one for the next. */
export class Session {
  private connection: Connection | undefined;

  constructor(private readonly url: string) {}

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
    const { rows } = (await this.connection.query(sql, [...values])) as { rows: Row[] };
    return rows;
  }

  /** Ends the session on the server, as the death of its process does. Returns when its locks are free. */
  async terminate(control: pg.Client): Promise<void> {
    const { pid } = this;
    this.connection = undefined;
    await control.query('SELECT pg_terminate_backend($1, 10000)', [pid]);
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
    return this.gate.pass(firstWords(sql), () => this.session.query<Row>(sql, values), countOf);
  }

  async transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    const { gate, session } = this;
    const begin = async () => {
      if (gate.inTransaction) return;
      await session.query('BEGIN');
      gate.inTransaction = true;
    };
    const query = <Row>(sql: string, values?: readonly unknown[]) =>
      gate.pass(
        firstWords(sql),
        () => begin().then(() => session.query<Row>(sql, values)),
        countOf,
      );
    let result: Result;
    try {
      result = await work({ kind: 'transaction', query });
    } catch (error) {
      await this.end('ROLLBACK');
      throw error;
    }
    await this.end('COMMIT');
    return result;
  }

  private async end(statement: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    if (!this.gate.inTransaction) return;
    await this.gate.pass(
      statement,
      async () => {
        await this.session.query(statement);
        this.gate.inTransaction = false;
      },
      () => 'done',
    );
  }
}

function firstWords(sql: string): string {
  const words = sql.replaceAll(/\s+/g, ' ').trim();
  return words.length > 60 ? `${words.slice(0, 59)}…` : words;
}

function countOf(rows: unknown[]): string {
  return rows.length === 1 ? '1 row' : `${rows.length} rows`;
}
