import { runCommand } from './command.js';
import { runJobCommand, USAGE } from './jobs/job.commands.js';

// `npm run jobs -- …`: the dead letters. Proof: test/effects/dead-letters.spec.ts.
await runCommand(USAGE, runJobCommand);
