import type { DataSource, EntityManager } from 'typeorm';

/** The caller's transaction. First parameter of every function that must commit together with it. */
export interface Tx {
  readonly kind: 'transaction';
  /**
   * @param sql one statement.
   * @returns the statement's rows; for a write without RETURNING, none.
   */
  query<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** The pool: each statement is its own transaction. `kind` makes `Tx` and `Database` different types. */
export abstract class Database {
  readonly kind = 'pool';
  /** @returns the same as `Tx.query`. */
  abstract query<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Commits when `work` resolves, rolls back when it rejects. READ COMMITTED. */
  abstract transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>;
}

/** For reads that can run in a transaction or on the pool. */
export type Queryable = Tx | Database;

/** Runs `work` in the caller's transaction, or else in a new one. */
export function inTransaction<Result>(
  db: Queryable,
  work: (tx: Tx) => Promise<Result>,
): Promise<Result> {
  return db.kind === 'transaction' ? work(db) : db.transaction(work);
}

/** The only part of the engine that depends on TypeORM. */
export class TypeOrmDatabase extends Database {
  constructor(private readonly dataSource: DataSource) {
    super();
  }

  query<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]> {
    return rowsOf(this.dataSource.manager, sql, values);
  }

  transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    return this.dataSource.transaction((manager) =>
      work({ kind: 'transaction', query: (sql, values) => rowsOf(manager, sql, values) }),
    );
  }
}

/** TypeORM returns `[rows, count]` for UPDATE and DELETE, and rows for other statements. A row is never an array. */
async function rowsOf<Row>(
  manager: EntityManager,
  sql: string,
  values?: readonly unknown[],
): Promise<Row[]> {
  const result: Row[] | [Row[], number] = await manager.query(sql, values as unknown[]);
  return Array.isArray(result[0]) ? result[0] : (result as Row[]);
}
