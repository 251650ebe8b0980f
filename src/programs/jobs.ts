import { runCommand } from './run-command.js';
import { JOBS_USAGE, runJobsCommand } from './jobs.command.js';

// `npm run jobs -- …`: the dead letters. Proof: test/white-box/effects/dead-letters.spec.ts.

await runCommand(JOBS_USAGE, runJobsCommand);
