import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/database.js';

/** JSON that names what a job is about: ids, never data that may have changed by the time it runs. */
export type Payload = Readonly<Record<string, string | number>>;

/** How often a job is tried before it is parked. With the queue's back-off (e^n seconds, six hours at most): four days. */
const MAX_ATTEMPTS = 25;

/** A job to be added. */
export interface NewJob {
  job: string;
  payload: Payload;
}

/**
 * Adds jobs in the caller's transaction: they exist if and only if that commits. Each runs at least once.
 */
export async function enqueue(tx: Tx, jobs: readonly NewJob[]): Promise<void> {
  if (jobs.length > 0) await tx.query(ENQUEUE, [JSON.stringify(jobs)]);
}

const ENQUEUE = `SELECT 1
  FROM json_to_recordset($1) AS new (job text, payload json),
    graphile_worker.add_job(new.job, new.payload, max_attempts => ${MAX_ATTEMPTS})`;

/**
 * Does the work of one kind of job. May be run twice, by two processes at once, or again after a crash anywhere.
 *
 * One rule: a handler that returns says "it is done and recorded", by whichever process. A process that slept past its
 * lock deletes the job by returning, although another one runs it by now; were something left to do, no run would come
 * back for it. If the lock was lost and the result is unknown, throw. A handler that does not find what its job is about
 * throws: the job is retried and finally becomes a dead letter, where a person sees it.
 *
 * @param signal aborts when the process is about to stop: what can be cut short should be.
 * @param attempt 1 for a job that is new, or that a person has started again (`npm run jobs -- retry`).
 */
export type JobHandler = (payload: Payload, signal: AbortSignal, attempt: number) => Promise<void>;

/** Where a kind of job spends its time. Each place has slots of its own, so that a mail server that hangs delays no refund. */
export const JOB_PLACES = ['inside', 'mail', 'processor'] as const;
export type JobPlace = (typeof JOB_PLACES)[number];

export interface RegisteredJob {
  name: string;
  handler: JobHandler;
  place: JobPlace;
}

/** The jobs that this process can run, by name. */
@Injectable()
export class JobRegistry {
  private readonly jobs = new Map<string, RegisteredJob>();

  register(name: string, handler: JobHandler, place: JobPlace = 'inside'): void {
    if (this.jobs.has(name)) throw new Error(`the job ${name} is registered twice`);
    this.jobs.set(name, { name, handler, place });
  }

  of(place: JobPlace): RegisteredJob[] {
    return [...this.jobs.values()].filter((job) => job.place === place);
  }
}
