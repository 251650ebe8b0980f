/** A connection outside a transaction. */
interface Session {
  query(sql: string, values?: unknown[]): Promise<unknown>;
}

interface Index {
  table: string;
  name: string;
  unique?: boolean;
  /** The text after the table's name in CREATE INDEX. */
  definition: string;
}

/**
 * Builds an index on a table that may be large, without blocking its writers. For a migration with
 * `transaction = false`; test/white-box/database/later-migrations.ts is an example. Safe to run again: it keeps a valid
 * index, and replaces an invalid one, which an interrupted build leaves.
 *
 * Not IF NOT EXISTS: while another session builds this index, that would accept the invalid one which the other session
 * may leave. An error here only costs another run.
 */
export async function createIndex(db: Session, index: Index): Promise<void> {
  const { table, name, unique = false, definition } = index;
  const found = await find(db, table, name);
  if (found?.valid) return;
  if (found) await db.query(`DROP INDEX CONCURRENTLY ${found.name}`);
  await db.query(
    `CREATE ${unique ? 'UNIQUE ' : ''}INDEX CONCURRENTLY ${name} ON ${table} ${definition}`,
  );
}

/** Drops an index, if it exists, without blocking writers. For a migration with `transaction = false`. */
export async function dropIndex(db: Session, table: string, name: string): Promise<void> {
  const found = await find(db, table, name);
  if (found) await db.query(`DROP INDEX CONCURRENTLY ${found.name}`);
}

/** Finds an index of this table only: later in the search_path, another installation may have one of the same name. */
async function find(db: Session, table: string, name: string) {
  const [found] = (await db.query(
    `SELECT indexrelid::regclass AS name, indisvalid AS valid
     FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
     WHERE indrelid = $1::regclass AND relname = $2`,
    [table, name],
  )) as { name: string; valid: boolean }[];
  return found;
}
