import { DataSource } from 'typeorm';
import { JobCommandError, runJobCommand, USAGE } from './jobs/job.commands.js';
import { run } from './run.js';

/** EX_USAGE of sysexits.h. */
const EXIT_USAGE = 64;

// `npm run jobs -- …`: the dead letters. Proof: test/effects/dead-letters.spec.ts.
const args = process.argv.slice(2);
if (args.length === 0 || args.includes('--help')) {
  console.log(USAGE);
  process.exit(args.length === 0 ? EXIT_USAGE : 0);
}
await run(async ({ databaseUrl: url }) => {
  const options = { type: 'postgres', url, installExtensions: false, extra: { max: 1 } } as const;
  const db = await new DataSource(options).initialize();
  try {
    console.log((await runJobCommand(db, args)).join('\n'));
  } catch (error) {
    if (!(error instanceof JobCommandError)) throw error;
    console.error(error.message);
    process.exitCode = error.usage ? EXIT_USAGE : 1;
  } finally {
    await db.destroy();
  }
});
