import {
  listNeedingAttention,
  returnToSweep,
  type RecordNeedingAttention,
} from '../idempotency/attention.js';
import { CommandError } from '../database/command.js';
import type { Database } from '../database/database.js';
import { IS_DEAD_LETTER, JOBS, listDeadLetters } from './queue-tables.js';

/** The queue's id of a job, or the derived id of a record. */
const ID = /^(?:\d{1,18}|[a-z]+_[0-9a-v]{32})$/;

/** @returns one line for each dead letter and each record that needs an operator. */
export async function listParked(db: Database): Promise<string[]> {
  const deadLetters = await listDeadLetters(db);
  const records = await listNeedingAttention(db);
  return [
    ...records.map(({ resource_id, operation, account_id, attempts, first_seen_at, died }) =>
      [
        resource_id,
        operation,
        account_id,
        `${attempts} attempts since ${first_seen_at.toISOString()}`,
        died ? 'its process died in the last one' : 'the log names the error of each',
      ].join('  '),
    ),
    ...deadLetters.map(({ id, task, payload, attempts, last_error, created_at }) =>
      [
        id,
        task,
        JSON.stringify(payload),
        `${attempts} attempts since ${created_at.toISOString()}`,
        // A job whose process died in every attempt has no error.
        last_error ?? 'its process died in every attempt',
      ].join('  '),
    ),
  ];
}

export async function retry(db: Database, which: string): Promise<string[]> {
  if (which !== 'all' && !ID.test(which)) {
    throw new CommandError(
      'An id is a number or ch_…, as `list` shows them. A payment is closed by `resolve`.',
      true,
    );
  }
  const retried = [...(await retryRecords(db, which)), ...(await retryJobs(db, which))];
  if (retried.length === 0 && which !== 'all') {
    throw new CommandError(`Nothing with the id ${which} is parked; \`list\` shows what is.`);
  }
  return retried.map((id) => `Retrying ${id}`).concat(`${retried.length} to be tried again`);
}

/** A transaction touches one account only. */
async function retryRecords(db: Database, which: string): Promise<string[]> {
  const retried: string[] = [];
  const wanted = ({ resource_id }: RecordNeedingAttention) =>
    which === 'all' || which === resource_id;
  for (const record of (await listNeedingAttention(db)).filter(wanted)) {
    if (await returnToSweep(db, record)) retried.push(record.resource_id);
  }
  return retried;
}

async function retryJobs(db: Database, which: string): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    `SELECT id::text FROM graphile_worker.reschedule_jobs(
       ARRAY(SELECT id FROM ${JOBS} WHERE ${IS_DEAD_LETTER} AND ($1 = 'all' OR id::text = $1)),
       run_at => now(), attempts => 0)
     ORDER BY id`,
    [which],
  );
  return rows.map(({ id }) => id);
}
