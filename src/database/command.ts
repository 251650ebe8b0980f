import type { Database } from './database.js';

/** EX_USAGE of sysexits.h. */
export const EXIT_USAGE = 64;

/** An error that the user of the command can repair. Only its message is printed. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly usage = false,
  ) {
    super(message);
  }
}

/** Runs a command. Returns the text to print and the exit code; a `CommandError` becomes text too. */
export async function captureOutput(command: () => Promise<string[]>) {
  try {
    return { text: (await command()).join('\n'), exitCode: 0 };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { text: error.message, exitCode: error.usage ? EXIT_USAGE : 1 };
  }
}

/** @throws CommandError if the table does not exist, which means that no migration has run. */
export async function requireSchema(db: Database, table: string): Promise<void> {
  const [row] = await db.query<{ exists: boolean }>(
    `SELECT to_regclass($1) IS NOT NULL AS exists`,
    [table],
  );
  if (!row?.exists) throw new CommandError('The database is empty. Run `npm run migrate` first.');
}
