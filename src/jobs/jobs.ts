import { Injectable } from '@nestjs/common';
import type { Tx } from '../platform/database.js';

/** JSON that names what a job is about: ids, never data that may have changed by the time it runs. */
export type Payload = Readonly<Record<string, string | number>>;

/** How often a job is tried before it is parked. With the queue's back-off (e^n seconds, six hours at most): four days. */
const MAX_ATTEMPTS = 25;

/**
 * The call that adds a job, made of SQL expressions, for a statement of the caller's.
 *
 * With a key, a job that is asked for again before it has run is not added again. One without costs more, and the more
 * the longer the queue is, because `add_job` then looks for jobs to replace.
 */
export function addJob(sql: {
  name: string;
  payload: string;
  key?: string;
  runAt?: string;
}): string {
  const { name, payload, key, runAt = 'NULL' } = sql;
  const once = key === undefined ? '' : `, job_key => ${key}, job_key_mode => 'unsafe_dedupe'`;
  return `graphile_worker.add_job(${name}, ${payload}, max_attempts => ${MAX_ATTEMPTS}, run_at => ${runAt}${once})`;
}

const ENQUEUE = `SELECT 1 FROM ${addJob({
  name: '$1',
  payload: '$2::json',
  runAt: `CASE WHEN $3::float8 > 0 THEN now() + $3 * interval '1 millisecond' END`,
})}`;

/**
 * Adds a job in the caller's transaction: it exists if and only if that commits. It runs at least once.
 * @param delayMs it runs no sooner than in this many milliseconds.
 */
export async function enqueue(tx: Tx, name: string, payload: Payload, delayMs = 0): Promise<void> {
  await tx.query(ENQUEUE, [name, JSON.stringify(payload), delayMs]);
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

/** Names the server that a job waits for: each has a share of the slots outside, and no more. */
export type ServerOf = (payload: Payload) => string;

export interface RegisteredJob {
  name: string;
  handler: JobHandler;
  /** Absent for a job that waits for nobody. */
  serverOf?: ServerOf;
}

/** The jobs that this process can run, by name. */
@Injectable()
export class JobRegistry {
  private readonly jobs = new Map<string, RegisteredJob>();

  register(name: string, handler: JobHandler, serverOf?: ServerOf): void {
    if (this.jobs.has(name)) throw new Error(`the job ${name} is registered twice`);
    this.jobs.set(name, { name, handler, ...(serverOf && { serverOf }) });
  }

  of(place: JobPlace): RegisteredJob[] {
    return [...this.jobs.values()].filter(
      ({ serverOf }) => (serverOf ? 'outside' : 'inside') === place,
    );
  }
}
