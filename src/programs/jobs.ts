import { runCommand } from './run-command.js';
import { JOBS_USAGE, runJobsCommand } from './jobs.command.js';

// `npm run jobs -- …`: the dead letters. Proof: test/white-box/effects/dead-letters.spec.ts, and
// test/white-box/operation/jobs-command.spec.ts for its usage.

await runCommand(JOBS_USAGE, runJobsCommand);
