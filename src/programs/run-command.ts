import { parseArgs, type ParseArgsConfig } from 'node:util';
import { commandEnvironment } from '../local/running.js';
import { EXIT_USAGE, captureOutput } from '../database/command.js';
import { databaseOptions, withDatabase, type Database } from '../database/database.js';
import { run } from './run-program.js';

/**
 * Runs `npm run <program> -- <args>` on the configured database, or on that of the running `npm start`, and prints
 * its lines. Exit code: 0 done, 1 refused, 64 usage, 78 configuration.
 */
export async function runCommand(
  usage: string,
  command: (db: Database, args: string[]) => Promise<string[]>,
): Promise<void> {
  const args = process.argv.slice(2);
  if (args.length === 0 || args.includes('--help')) endWithUsage(usage);
  await run(async ({ databaseUrl: url }) => {
    const { text, exitCode } = await withDatabase(databaseOptions(url, 1), (db) =>
      captureOutput(() => command(db, args)),
    );
    (exitCode === 0 ? console.log : console.error)(text);
    process.exitCode = exitCode;
  }, commandEnvironment);
}

/** The program's arguments. Ends it with its usage if one is unknown or has a wrong type. */
export function parseOrEnd<Config extends ParseArgsConfig>(usage: string, config: Config) {
  try {
    return parseArgs(config);
  } catch {
    return endWithUsage(usage);
  }
}

/** Ends a command with its usage: after --help, or after wrong arguments. */
export function endWithUsage(usage: string): never {
  const asked = process.argv.includes('--help');
  (asked ? console.log : console.error)(usage);
  process.exit(asked ? 0 : EXIT_USAGE);
}
