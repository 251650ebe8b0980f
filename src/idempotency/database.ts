import type { DataSource, EntityManager } from 'typeorm';

/** A transaction of the caller. First parameter of everything that must commit together with it. */
export interface Tx {
  readonly kind: 'transaction';
  /**
   * @param sql one statement.
   * @returns the statement's rows, whatever the statement is; none without RETURNING.
   */
  query<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** The pool: each statement is a transaction of its own. A `Tx` is another type, so neither passes for the other. */
export abstract class Database {
  readonly kind = 'pool';
  /** @returns as that of `Tx`. */
  abstract query<Row>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Commits when `work` resolves, rolls back when it rejects. READ COMMITTED. */
  abstract transaction<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>;
}

/** For reads that a transaction and the pool can run alike. */
export type Queryable = Tx | Database;

/** The caller's transaction, or one of its own. */
export function inTransaction<Result>(
  db: Queryable,
  work: (tx: Tx) => Promise<Result>,
): Promise<Result> {
  return db.kind === 'transaction' ? work(db) : db.transaction(work);
}

/** All that the engine needs of TypeORM. */
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

/** TypeORM returns `[rows, count]` for UPDATE and DELETE, and rows for every other statement. A row is never an array. */
async function rowsOf<Row>(
  manager: EntityManager,
  sql: string,
  values?: readonly unknown[],
): Promise<Row[]> {
  const result: Row[] | [Row[], number] = await manager.query(sql, values as unknown[]);
  return Array.isArray(result[0]) ? result[0] : (result as Row[]);
}
