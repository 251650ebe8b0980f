import { text } from 'node:stream/consumers';
import { DataSource } from 'typeorm';
import { AccountError, runAccountCommand, USAGE } from './accounts/account.commands.js';
import { run } from './run.js';

/** EX_USAGE of sysexits.h. */
const EXIT_USAGE = 64;

// `npm run account -- …`: who may call. Proof: test/operation/account-command.spec.ts.
const args = process.argv.slice(2);
if (args.length === 0 || args.includes('--help')) {
  console.log(USAGE);
  process.exit(args.length === 0 ? EXIT_USAGE : 0);
}
await run(async ({ databaseUrl: url }) => {
  const options = { type: 'postgres', url, installExtensions: false, extra: { max: 1 } } as const;
  const db = await new DataSource(options).initialize();
  try {
    const lines = await runAccountCommand(db, args, () => text(process.stdin));
    console.log(lines.join('\n'));
  } catch (error) {
    if (!(error instanceof AccountError)) throw error;
    console.error(error.message);
    process.exitCode = error.usage ? EXIT_USAGE : 1;
  } finally {
    await db.destroy();
  }
});
