import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';

/** The ids of the objects that the job is about. No other data, which may have changed when the job runs. */
export type Payload = Readonly<Record<string, string | number>>;

/**
 * Attempts before a job becomes a dead letter. With the queue's backoff (e^n seconds, at most six hours): four days.
 */
const MAX_ATTEMPTS = 25;

export interface NewJob {
  job: string;
  payload: Payload;
}

/** Adds jobs in the caller's transaction: they exist if and only if it commits. Each runs at least once. */
export async function enqueue(tx: Tx, jobs: readonly NewJob[]): Promise<void> {
  if (jobs.length > 0) await tx.query(ENQUEUE, [JSON.stringify(jobs)]);
}

const ENQUEUE = `SELECT 1
  FROM json_to_recordset($1) AS new (job text, payload json),
    graphile_worker.add_job(new.job, new.payload, max_attempts => ${MAX_ATTEMPTS})`;

/**
 * Does the work of one kind of job. It may run twice, in two processes in parallel, or again after a crash.
 *
 * Return only if the work is done and recorded, by this or another process: returning deletes the job, even after its
 * lock was lost. If the lock was lost and the result is unknown, throw. If the object of the job is missing, throw: the
 * job is retried and finally becomes a dead letter that an operator sees.
 *
 * @param signal aborts when the process is about to stop; end early if that is safe.
 * @param attempt 1 for a new job, or one that an operator has retried (`npm run jobs -- retry`).
 */
export type JobHandler = (payload: Payload, signal: AbortSignal, attempt: number) => Promise<void>;

/** What a kind of job mostly waits for. Each pool has its own slots, so a slow mail server does not delay refunds. */
export const JOB_POOLS = ['database', 'mail', 'processor'] as const;
export type JobPool = (typeof JOB_POOLS)[number];

export interface RegisteredJob {
  name: string;
  handler: JobHandler;
  pool: JobPool;
}

@Injectable()
export class JobRegistry {
  private readonly jobs = new Map<string, RegisteredJob>();

  register(name: string, handler: JobHandler, pool: JobPool = 'database'): void {
    if (this.jobs.has(name)) throw new Error(`the job ${name} is registered twice`);
    this.jobs.set(name, { name, handler, pool });
  }

  of(pool: JobPool): RegisteredJob[] {
    return [...this.jobs.values()].filter((job) => job.pool === pool);
  }
}
