import type { DataSource } from 'typeorm';
import { CommandError, requireSchema } from '../platform/command.js';
import { IS_PARKED, listParkedJobs } from './queue-tables.js';

export const USAGE = `Usage: npm run jobs -- <command>

  list              the jobs that have failed too often and wait for a person
  retry <id>        that one is tried again, from its first attempt on
  retry all         all of them are`;

/** @returns the lines to print. */
export async function runJobCommand(
  db: DataSource,
  [command, ...args]: string[],
): Promise<string[]> {
  await requireSchema(db, 'graphile_worker.jobs');
  switch (`${command} ${args.length}`) {
    case 'list 0':
      return list(db);
    case 'retry 1':
      return retry(db, args[0]!);
    default:
      throw new CommandError(`That is no command.\n\n${USAGE}`, true);
  }
}

async function list(db: DataSource): Promise<string[]> {
  const parked = await listParkedJobs(db.manager);
  return [
    ...parked.map(({ id, task, payload, attempts, last_error, created_at }) =>
      [
        id,
        task,
        JSON.stringify(payload),
        `${attempts} attempts since ${created_at.toISOString()}`,
        // A job whose process was killed each time has no error to tell.
        last_error ?? 'never came to its end',
      ].join('  '),
    ),
    `${parked.length} parked`,
  ];
}

async function retry(db: DataSource, which: string): Promise<string[]> {
  if (which !== 'all' && !/^\d{1,18}$/.test(which)) {
    throw new CommandError('An id is a number, as `list` shows them.', true);
  }
  const rows: { id: string }[] = await db.query(
    `SELECT id::text FROM graphile_worker.reschedule_jobs(
       ARRAY(SELECT id FROM graphile_worker.jobs WHERE ${IS_PARKED} AND ($1 = 'all' OR id::text = $1)),
       run_at => now(), attempts => 0)
     ORDER BY id`,
    [which],
  );
  if (rows.length === 0 && which !== 'all') {
    throw new CommandError(`No job ${which} is parked; \`list\` shows those that are.`);
  }
  return rows.map(({ id }) => `Retrying ${id}`).concat(`${rows.length} to be tried again`);
}
