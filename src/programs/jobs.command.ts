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

  list              what waits for a person: jobs, charges and refunds that have failed too often,
                    payments and refunds at the processor that our books do not account for
  retry <id>        that job, charge or refund is tried again, from its first attempt on
  retry all         all of them are
  resolve <processor reference> <what was done>
                    closes that payment: its alarm ends, its row stays`;

/**
 * @returns the lines to print.
 * @throws CommandError when there is no such command, or nothing that it could do.
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
  throw new CommandError(`That is no command.\n\n${JOBS_USAGE}`, true);
}

async function list(db: Database): Promise<string[]> {
  const whatToDo = { ...WHAT_TO_DO, ...WHAT_TO_DO_ABOUT_REFUNDS };
  const lines = [...(await listOpenPayments(db, whatToDo)), ...(await listParked(db))];
  return [...lines, `${lines.length} parked`];
}
