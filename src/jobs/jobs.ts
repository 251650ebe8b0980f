import { Injectable } from '@nestjs/common';
import type { Tx } from '../platform/database.js';

/** JSON that names what a job is about: ids, never data that may have changed by the time it runs. */
export type Payload = Readonly<Record<string, string | number>>;

export interface JobOptions {
  /** Not before this many milliseconds from now. */
  delayMs?: number;
  /** Jobs of one queue run one after the other, so that a slow one holds up its own queue only. */
  queue?: string;
}

/** How often a job is tried, with the queue's exponential back-off, before it is parked: some three days. */
const MAX_ATTEMPTS = 25;

/** Adds a job in the caller's transaction: it exists if and only if that commits. It runs at least once. */
export async function enqueue(
  tx: Tx,
  name: string,
  payload: Payload,
  options: JobOptions = {},
): Promise<void> {
  await tx.query(
    `SELECT 1 FROM graphile_worker.add_job($1, $2::json, queue_name => $3, max_attempts => $4,
       run_at => CASE WHEN $5::float8 > 0 THEN now() + $5 * interval '1 millisecond' END)`,
    [name, JSON.stringify(payload), options.queue ?? null, MAX_ATTEMPTS, options.delayMs ?? 0],
  );
}

/** Does the work of one kind of job. May be run twice, by two processes at once, or again after a crash anywhere. */
export type JobHandler = (payload: Payload) => Promise<void>;

/** The jobs that this process can run, by name. */
@Injectable()
export class JobRegistry {
  readonly handlers = new Map<string, JobHandler>();

  register(name: string, handler: JobHandler): void {
    if (this.handlers.has(name)) throw new Error(`the job ${name} is registered twice`);
    this.handlers.set(name, handler);
  }
}
