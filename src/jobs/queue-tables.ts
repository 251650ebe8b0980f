import type { Queryable } from '../database/database.js';

/**
 * The statements on graphile-worker's private tables, because the library has no function for them. Only src/audit/*.sql
 * also reads the tables. A release may change them: the version is pinned, and test/white-box/effects/queue.spec.ts and
 * queue-workers.spec.ts fail if one does.
 */
export const JOBS = 'graphile_worker._private_jobs';

/** Locked jobs and dead letters: few beside those that wait, and with an index of their own (`migrate`). */
const UNAVAILABLE = 'NOT is_available';

/**
 * Frees jobs whose lock is older than `lockMs`: their process was killed or is suspended. The library does it only
 * after a fixed four hours. Its `force_unlock_workers` would also free the other jobs of the same process.
 */
export async function freeAbandonedJobs(db: Queryable, lockMs: number): Promise<void> {
  await db.query(
    `UPDATE ${JOBS} SET locked_at = NULL, locked_by = NULL
     WHERE ${UNAVAILABLE} AND locked_at < now() - $1 * interval '1 millisecond'`,
    [lockMs],
  );
}

/**
 * Delays the next run of a failing job by up to half of the queue's backoff, so that jobs that failed together are not
 * retried together. The queue counts its backoff from `run_at`.
 */
export async function addRetryJitter(
  db: Queryable,
  { id, attempts }: { id: string; attempts: number },
): Promise<void> {
  const backOffMs = Math.exp(Math.min(attempts, 10)) * 1000;
  await db.query(
    `UPDATE ${JOBS} SET run_at = now() + $2::float8 * interval '1 millisecond' WHERE id = $1 AND attempts = $3`,
    [id, (Math.random() * backOffMs) / 2, attempts],
  );
}

/** Unlocks the jobs of these workers without counting an attempt. The library's `force_unlock_workers` counts one. */
export async function unlockJobs(
  db: { query(sql: string, values: unknown[]): Promise<unknown> },
  lockNames: readonly string[],
): Promise<void> {
  await db.query(
    `UPDATE ${JOBS} SET locked_at = NULL, locked_by = NULL, attempts = attempts - 1
     WHERE ${UNAVAILABLE} AND locked_by = ANY($1)`,
    [lockNames],
  );
}

/** A job that has used up its attempts. It runs again only if an operator retries it. */
export interface DeadLetter {
  id: string;
  task: string;
  payload: Record<string, unknown>;
  attempts: number;
  last_error: string | null;
  created_at: Date;
}

/** A locked job is not a dead letter yet: its last attempt runs, or died and has not been freed. */
export const IS_DEAD_LETTER = `${UNAVAILABLE} AND locked_at IS NULL`;

export async function listDeadLetters(db: Queryable): Promise<DeadLetter[]> {
  return db.query(
    `SELECT job.id::text, task.identifier AS task, payload, attempts, last_error, created_at
     FROM ${JOBS} AS job JOIN graphile_worker._private_tasks AS task ON task.id = task_id
     WHERE ${IS_DEAD_LETTER}
     ORDER BY created_at, job.id`,
  );
}
