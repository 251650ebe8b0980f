import type { Database } from '../database/database.js';

/**
 * What graphile-worker has no function for, written on its private tables. Only src/audit/*.sql reads them, too. They may
 * change with any release: the version is pinned, and test/white-box/effects/queue.spec.ts fails if a statement no longer
 * fits.
 */
const JOBS = 'graphile_worker._private_jobs';

/**
 * Frees the jobs that were locked longer ago than that: their process was killed, or sleeps. The library does the same
 * after four hours, which it does not let us choose. (Its `force_unlock_workers` would free whatever else the same
 * process is running, too.)
 */
export async function freeAbandonedJobs(db: Database, lockMs: number): Promise<void> {
  await db.query(
    `UPDATE ${JOBS} SET locked_at = NULL, locked_by = NULL
     WHERE locked_at < now() - $1 * interval '1 millisecond'`,
    [lockMs],
  );
}

/**
 * Puts the next run of a failing job off by up to half of the queue's own back-off, so that a thousand jobs that failed
 * together do not all come back together. The queue counts its back-off from `run_at`.
 */
export async function spreadNextRun(
  db: Database,
  { id, attempts }: { id: string; attempts: number },
): Promise<void> {
  const backOffMs = Math.exp(Math.min(attempts, 10)) * 1000;
  await db.query(
    `UPDATE ${JOBS} SET run_at = now() + $2::float8 * interval '1 millisecond' WHERE id = $1 AND attempts = $3`,
    [id, (Math.random() * backOffMs) / 2, attempts],
  );
}

/**
 * Gives all that these workers have locked back to the queue, as if it had not begun. (The library's
 * `force_unlock_workers` would count an attempt.)
 */
export async function giveBack(
  db: { query(sql: string, values: unknown[]): Promise<unknown> },
  lockNames: readonly string[],
): Promise<void> {
  await db.query(
    `UPDATE ${JOBS} SET locked_at = NULL, locked_by = NULL, attempts = attempts - 1 WHERE locked_by = ANY($1)`,
    [lockNames],
  );
}

/** A job that has used up its attempts: nobody runs it until a person says so. */
export interface ParkedJob {
  id: string;
  task: string;
  payload: Record<string, unknown>;
  attempts: number;
  last_error: string | null;
  created_at: Date;
}

/** A locked one is running for the last time, or its process was killed in that: it is parked when the lock is gone. */
export const IS_PARKED = 'attempts >= max_attempts AND locked_at IS NULL';

export async function listParkedJobs(db: Database): Promise<ParkedJob[]> {
  return db.query(
    `SELECT jobs.id::text, jobs.task_identifier AS task, private.payload, jobs.attempts, jobs.last_error, jobs.created_at
     FROM (SELECT * FROM graphile_worker.jobs WHERE ${IS_PARKED}) AS jobs
     JOIN ${JOBS} AS private USING (id)
     ORDER BY jobs.created_at, jobs.id`,
  );
}
