import { EventEmitter, setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Logger as QueueLogger, type Job, type Task, run, type Runner } from 'graphile-worker';
import type pg from 'pg';
import { Loop } from '../idempotency/loop.js';
import { Database } from '../platform/database.js';
import { QUEUE_SCHEMA } from '../platform/queue-owner.js';
import { Shares } from '../platform/shares.js';
import {
  JobRegistry,
  PLACES_OUTSIDE,
  PutOff,
  type JobPlace,
  type Payload,
  type RegisteredJob,
} from './jobs.js';
import { openQueuePool, untilIdle } from './queue-pool.js';
import { freeAbandonedJobs, giveBack, putOff, spreadNextRun } from './queue-tables.js';

export interface JobRunnerOptions {
  databaseUrl: string;
  /** How many jobs this process runs at once, in each place. A slot that waits holds no connection. */
  concurrency: Record<JobPlace, number>;
  /**
   * How long a job may hold its lock, in ms. Every job ends by itself long before; one that is locked longer belonged
   * to a process that was killed, or that sleeps. Shorter runs slow jobs twice; longer delays the rescue.
   */
  lockMs: number;
  /** How long jobs may go on after the process was told to stop, in ms; what has not ended then is given back. */
  stopMs: number;
}

export const JOB_RUNNER_OPTIONS = Symbol('JOB_RUNNER_OPTIONS');

/** After this long a job whose owner has its share is looked at again, in ms; the queue passes over it meanwhile. */
const SHARE_PAUSE_MS = 1_000;

/** Abandoned locks are looked for this many times in the life of a lock. */
const RESCUES_PER_LOCK = 6;

/**
 * How often the queue is asked when nobody notifies, in ms. New jobs come by LISTEN within milliseconds; this is for
 * those whose time has come, and for a pooler in transaction mode, where nobody hears anything. See bench/README.md.
 */
const POLL_MS = 1_000;

/** Runs the jobs of the queue (graphile-worker), each at least once. */
@Injectable()
export class JobRunner
  implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown
{
  private readonly log = new Logger(JobRunner.name);
  private readonly rescuer: Loop;
  private readonly shares: ReadonlyMap<JobPlace, Shares>;
  private readonly runners: Runner[] = [];
  /** By these names the queue knows who has locked what. */
  private readonly lockNames: string[] = [];
  private pool: pg.Pool | undefined;
  private stopped: Promise<void> | undefined;

  constructor(
    private readonly db: Database,
    private readonly jobs: JobRegistry,
    @Inject(JOB_RUNNER_OPTIONS) private readonly options: JobRunnerOptions,
  ) {
    this.shares = new Map(
      PLACES_OUTSIDE.map((place) => [place, new Shares(place, options.concurrency[place])]),
    );
    this.rescuer = new Loop('JobRescuer', options.lockMs / RESCUES_PER_LOCK, () =>
      freeAbandonedJobs(db, options.lockMs),
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    const { databaseUrl, concurrency } = this.options;
    this.pool = openQueuePool(databaseUrl, concurrency.inside + 4);
    // Two, and not one for each place: every runner asks the queue about every job that is announced.
    await this.startRunner(this.pool, ['inside']);
    await this.startRunner(this.pool, PLACES_OUTSIDE);
    this.rescuer.start();
  }

  /** Before the other modules wait for what they have under way: no new job begins from here on. */
  onModuleDestroy(): void {
    this.stopped ??= this.stop();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.stopped;
  }

  private async startRunner(pgPool: pg.Pool, places: readonly JobPlace[]): Promise<void> {
    const slots = places.map((place) => this.options.concurrency[place]);
    const events = new EventEmitter();
    events.on('pool:create', ({ workerPool }: { workerPool: { id: string } }) =>
      this.lockNames.push(workerPool.id),
    );
    const runner = await run({
      pgPool,
      schema: QUEUE_SCHEMA,
      events,
      concurrency: slots.reduce((sum, each) => sum + each),
      pollInterval: POLL_MS,
      noHandleSignals: true,
      noPreparedStatements: true, // the connection does that, where it may
      gracefulShutdownAbortTimeout: this.options.stopMs / 2,
      logger: this.queueLogger(),
      taskList: Object.fromEntries(
        this.jobs.of(places).map((registered) => [registered.name, this.task(registered)]),
      ),
      forbiddenFlags: () => places.flatMap((place) => this.shares.get(place)?.full() ?? []),
    });
    this.runners.push(runner);
    const ended = () => {
      // Unhandled on purpose: the process ends, and its supervisor starts another one.
      if (!this.stopped) throw new Error(`the queue’s runner for jobs ${places} has ended`);
    };
    void runner.promise.then(ended, ended);
  }

  private task(registered: RegisteredJob): Task {
    return async (payload, { job, abortSignal }) => {
      setMaxListeners(0, abortSignal); // one for all jobs that run, each of which may listen
      try {
        await this.run(registered, payload as Payload, abortSignal, job.attempts);
      } catch (error) {
        const { db } = this;
        const comesBack =
          error instanceof PutOff ? putOff(db, job, error.delayMs) : spreadNextRun(db, job);
        await comesBack.catch((failed: unknown) =>
          this.log.warn(`job ${job.id} comes back as the queue has it`, failed),
        );
        throw error; // what was put off is no longer this process' to mark as failed
      }
    };
  }

  private async run(
    { handler, place, sharers }: RegisteredJob,
    payload: Payload,
    signal: AbortSignal,
    attempt: number,
  ): Promise<void> {
    const shares = this.shares.get(place);
    if (!shares) return handler(payload, signal, attempt);
    // The queue passes over those who are full, but many slots may ask it at the same moment.
    const leave = shares.take(sharers?.(payload) ?? []);
    if (!leave) throw new PutOff('its owner has its share', SHARE_PAUSE_MS * (0.5 + Math.random()));
    return handler(payload, signal, attempt).finally(leave);
  }

  /** Waits for what runs; gives back what takes longer, so that another process need not wait for its lock to end. */
  private async stop(): Promise<void> {
    const { pool } = this;
    if (!pool) return;
    const finished = this.finish(pool).then(() => true);
    if (await Promise.race([finished, delay(this.options.stopMs, false, { ref: false })])) return;
    // Dies here: the locks run out, and the rescuer of another process frees the jobs.
    await giveBack(pool, this.lockNames);
    this.log.warn('what was running is given back to the queue');
  }

  private async finish(pool: pg.Pool): Promise<void> {
    await Promise.all([this.rescuer.stop(), ...this.runners.map((runner) => runner.stop())]);
    await untilIdle(pool);
    await pool.end();
  }

  private queueLogger(): QueueLogger {
    return new QueueLogger(() => (level, message, meta) => {
      if (!['error', 'warning'].includes(level)) return;
      const { error, job } = (meta ?? {}) as { error?: unknown; job?: Partial<Job> };
      if (error instanceof PutOff) return;
      // Slots that wait hold no connection.
      if (message.includes('maxPoolSize')) return;
      // Its text of a failed job quotes the error's message, and that may quote a customer.
      if (error === undefined) this.log.warn(message);
      else if (job === undefined) this.log.warn('the queue could not do its work', error);
      else
        this.log.warn(`job ${job?.id} (${job?.task_identifier}), attempt ${job?.attempts}`, error);
    });
  }
}
