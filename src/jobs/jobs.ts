import { Injectable } from '@nestjs/common';
import type { Tx } from '../platform/database.js';

/** JSON that names what a job is about: ids, never data that may have changed by the time it runs. */
export type Payload = Readonly<Record<string, string | number>>;

/** How often a job is tried before it is parked. With the queue's back-off (e^n seconds, six hours at most): four days. */
const MAX_ATTEMPTS = 25;

/** A job to be added. */
export interface NewJob {
  job: string;
  payload: Payload;
  /** Whose slots it takes: a place outside and, if it has them, its sharers. */
  flags?: [JobPlace, ...string[]];
}

/**
 * Adds jobs in the caller's transaction: they exist if and only if that commits. Each runs at least once.
 * @param delayMs they run no sooner than in this many milliseconds.
 */
export async function enqueue(tx: Tx, jobs: readonly NewJob[], delayMs = 0): Promise<void> {
  if (jobs.length === 0) return;
  await tx.query(ENQUEUE, [JSON.stringify(jobs), delayMs]);
}

const ENQUEUE = `SELECT 1
  FROM json_to_recordset($1) AS new (job text, payload json, flags json),
    graphile_worker.add_job(new.job, new.payload, max_attempts => ${MAX_ATTEMPTS},
      run_at => CASE WHEN $2::float8 > 0 THEN now() + $2 * interval '1 millisecond' END,
      flags => CASE WHEN new.flags IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(new.flags)) END)`;

/**
 * Thrown by a handler that cannot go on now, by no fault of the job: it comes back after that many milliseconds, and
 * it was no attempt.
 */
export class PutOff extends Error {
  constructor(
    why: string,
    readonly delayMs: number,
  ) {
    super(why);
  }
}

/**
 * Does the work of one kind of job. May be run twice, by two processes at once, or again after a crash anywhere.
 *
 * One rule: a handler that returns says "it is done and recorded", whoever did it. A process that slept past its lock
 * deletes the job by returning, although another has it by now; were there still something to do, nobody would come
 * back for it. Whoever was overtaken and cannot tell, throws. A handler that does not find what its job is about throws:
 * the job is tried again and then parked, where a person sees it.
 *
 * @param signal aborts when the process is about to stop: what can be cut short should be.
 * @param attempt 1 for a job that is new, or that a person has set going again (`npm run jobs -- retry`).
 */
export type JobHandler = (payload: Payload, signal: AbortSignal, attempt: number) => Promise<void>;

/** Where jobs wait for a server of somebody else. */
export const PLACES_OUTSIDE = ['mail', 'processor', 'receivers'] as const;

/**
 * Where a kind of job spends its time. Each place has slots of its own, so that mail that hangs holds up no webhook and
 * no refund.
 */
export type JobPlace = 'inside' | (typeof PLACES_OUTSIDE)[number];

export interface RegisteredJob {
  name: string;
  handler: JobHandler;
  place: JobPlace;
  /**
   * For whom a job takes its slot, from the widest to the narrowest: each has a share of the slots. Jobs carry these
   * names, and their place's, as flags, by which the queue passes over those who have their share.
   */
  sharers?: (payload: Payload) => string[];
}

/** The jobs that this process can run, by name. */
@Injectable()
export class JobRegistry {
  private readonly jobs = new Map<string, RegisteredJob>();

  register(
    name: string,
    handler: JobHandler,
    where: Partial<Pick<RegisteredJob, 'place' | 'sharers'>> = {},
  ): void {
    if (this.jobs.has(name)) throw new Error(`the job ${name} is registered twice`);
    this.jobs.set(name, { name, handler, place: 'inside', ...where });
  }

  of(places: readonly JobPlace[]): RegisteredJob[] {
    return [...this.jobs.values()].filter(({ place }) => places.includes(place));
  }
}
