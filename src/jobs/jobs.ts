import { Injectable } from '@nestjs/common';
import type { Tx } from '../platform/database.js';

/** JSON that names what a job is about: ids, never data that may have changed by the time it runs. */
export type Payload = Readonly<Record<string, string | number>>;

export interface JobOptions {
  /** Not before this many milliseconds from now. */
  delayMs?: number;
  /**
   * Unique to this job: asked for again before it has run, it is not added again. A job without one costs more, and
   * the more the longer the queue is, because `add_job` then looks for jobs to replace.
   */
  key?: string;
}

/** How often a job is tried before it is parked. With the queue's back-off (e^n seconds, six hours at most): four days. */
const MAX_ATTEMPTS = 25;

/** Adds a job in the caller's transaction: it exists if and only if that commits. It runs at least once. */
export async function enqueue(
  tx: Tx,
  name: string,
  payload: Payload,
  { delayMs = 0, key }: JobOptions = {},
): Promise<void> {
  await tx.query(
    `SELECT 1 FROM graphile_worker.add_job($1, $2::json, max_attempts => $3,
       run_at => CASE WHEN $4::float8 > 0 THEN now() + $4 * interval '1 millisecond' END,
       job_key => $5::text, job_key_mode => CASE WHEN $5::text IS NULL THEN 'replace' ELSE 'unsafe_dedupe' END)`,
    [name, JSON.stringify(payload), MAX_ATTEMPTS, delayMs, key ?? null],
  );
}

/**
 * Does the work of one kind of job. May be run twice, by two processes at once, or again after a crash anywhere.
 *
 * One rule: a handler that returns says "it is done and recorded", whoever did it. A process that slept past its lock
 * deletes the job by returning, although another has it by now; were there still something to do, nobody would come
 * back for it. Whoever was overtaken and cannot tell, throws.
 *
 * @param signal aborts when the process is about to stop: what can be cut short should be.
 */
export type JobHandler = (payload: Payload, signal: AbortSignal) => Promise<void>;

/**
 * Where a kind of job spends its time: on our own side, or waiting for servers of strangers. Those have slots of their
 * own, because they may all be slow at once.
 */
export type JobPlace = 'inside' | 'outside';

/** The jobs that this process can run, by name. */
@Injectable()
export class JobRegistry {
  private readonly jobs = new Map<string, { handler: JobHandler; place: JobPlace }>();

  register(name: string, handler: JobHandler, place: JobPlace = 'inside'): void {
    if (this.jobs.has(name)) throw new Error(`the job ${name} is registered twice`);
    this.jobs.set(name, { handler, place });
  }

  handlersOf(place: JobPlace): [name: string, handler: JobHandler][] {
    return [...this.jobs]
      .filter(([, job]) => job.place === place)
      .map(([name, { handler }]) => [name, handler]);
  }
}
