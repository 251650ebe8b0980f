import type { Database } from './database.js';

/** EX_USAGE of sysexits.h. */
export const EXIT_USAGE = 64;

/** What the person at the terminal can mend; the message is all there is to print. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly usage = false,
  ) {
    super(message);
  }
}

/** @throws CommandError if the database lacks that table, and so all of ours. */
export async function requireSchema(db: Database, table: string): Promise<void> {
  const [row] = await db.query<{ there: boolean }>(`SELECT to_regclass($1) IS NOT NULL AS there`, [
    table,
  ]);
  if (!row?.there) throw new CommandError('The database is empty. Run `npm run migrate` first.');
}
