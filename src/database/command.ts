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

export interface Outcome {
  text: string;
  exitCode: number;
}

/** What a command prints, and how its program ends; a refusal is text as well. */
export async function outcomeOf(command: () => Promise<string[]>): Promise<Outcome> {
  try {
    return { text: (await command()).join('\n'), exitCode: 0 };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { text: error.message, exitCode: error.usage ? EXIT_USAGE : 1 };
  }
}

/** @throws CommandError if the database lacks that table, and so all of ours. */
export async function requireSchema(db: Database, table: string): Promise<void> {
  const [row] = await db.query<{ there: boolean }>(`SELECT to_regclass($1) IS NOT NULL AS there`, [
    table,
  ]);
  if (!row?.there) throw new CommandError('The database is empty. Run `npm run migrate` first.');
}
