import type { Database } from '../database/database.js';
import {
  listOpenPayments,
  resolvePayment,
  WHAT_TO_DO,
} from '../charges/parked-payment.commands.js';
import { WHAT_TO_DO_ABOUT_REFUNDS } from '../refunds/parked-refunds.js';
import { listParked, retry } from '../jobs/job.commands.js';
import { CommandError, requireSchema } from '../database/command.js';

/** What `npm run jobs -- --help` prints. */
export const JOBS_USAGE = `Usage: npm run jobs -- <command>

  list              shows what needs a person: jobs, charges and refunds that have failed too often,
                    and payments and refunds at the processor that our books do not contain
  retry <id>        tries that job, charge or refund again, with its attempts counted from zero
  retry all         tries all of them again
  resolve <processor reference> <what was done>
                    closes that payment: its alarm ends, its row stays`;

/**
 * @returns the lines to print.
 * @throws CommandError if the command is unknown, or has nothing to act on.
 */
export async function runJobsCommand(
  db: Database,
  [command, ...args]: string[],
): Promise<string[]> {
  await requireSchema(db, 'graphile_worker.jobs');
  const [first = '', ...words] = args;
  const done = words.join(' ').trim();
  if (command === 'list' && args.length === 0) return list(db);
  if (command === 'retry' && args.length === 1) return retry(db, first);
  if (command === 'resolve' && done) return resolvePayment(db, first, done);
  throw new CommandError(`Unknown command.\n\n${JOBS_USAGE}`, true);
}

async function list(db: Database): Promise<string[]> {
  const whatToDo = { ...WHAT_TO_DO, ...WHAT_TO_DO_ABOUT_REFUNDS };
  const lines = [...(await listOpenPayments(db, whatToDo)), ...(await listParked(db))];
  return [...lines, `${lines.length} parked`];
}
