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
import { Database } from '../database/database.js';
import { QUEUE_SCHEMA } from '../database/queue-owner.js';
import {
  JOB_PLACES,
  JobRegistry,
  type JobPlace,
  type Payload,
  type RegisteredJob,
} from './jobs.js';
import { openQueuePool, untilIdle } from './queue-pool.js';
import { freeAbandonedJobs, giveBack, spreadNextRun } from './queue-tables.js';

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

/** Abandoned locks are looked for this many times in the life of a lock. */
const RESCUES_PER_LOCK = 6;

/**
 * How often each slot asks the queue without a notification, in ms. New jobs are heard by LISTEN within milliseconds; this
 * is for retries whose time has come, and for a pooler in transaction mode, where LISTEN hears nothing. Shorter costs
 * idle CPU: fifteen slots that ask every second take 1.5 % of a core.
 */
const POLL_MS = 2_000;

/** Runs the jobs of the queue (graphile-worker), each at least once. */
@Injectable()
export class JobRunner
  implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown
{
  private readonly log = new Logger(JobRunner.name);
  private readonly rescuer: Loop;
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
    this.rescuer = new Loop('JobRescuer', options.lockMs / RESCUES_PER_LOCK, () =>
      freeAbandonedJobs(db, options.lockMs),
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    const { databaseUrl, concurrency } = this.options;
    this.pool = openQueuePool(databaseUrl, concurrency.inside + 5);
    for (const place of JOB_PLACES) await this.startRunner(this.pool, place);
    this.rescuer.start();
  }

  /** Before the other modules wait for what they have under way: no new job begins from here on. */
  onModuleDestroy(): void {
    this.stopped ??= this.stop();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.stopped;
  }

  private async startRunner(pgPool: pg.Pool, place: JobPlace): Promise<void> {
    const events = new EventEmitter();
    events.on('pool:create', ({ workerPool }: { workerPool: { id: string } }) =>
      this.lockNames.push(workerPool.id),
    );
    const runner = await run({
      pgPool,
      schema: QUEUE_SCHEMA,
      events,
      concurrency: this.options.concurrency[place],
      pollInterval: POLL_MS,
      noHandleSignals: true,
      noPreparedStatements: true, // the connection does that, where it may
      gracefulShutdownAbortTimeout: this.options.stopMs / 2,
      logger: this.queueLogger(),
      taskList: Object.fromEntries(
        this.jobs.of(place).map((registered) => [registered.name, this.task(registered)]),
      ),
    });
    this.runners.push(runner);
    const ended = () => {
      // Unhandled on purpose: the process ends, and its supervisor starts another one.
      if (!this.stopped) throw new Error(`the queue’s runner for jobs ${place} has ended`);
    };
    void runner.promise.then(ended, ended);
  }

  private task({ handler }: RegisteredJob): Task {
    return async (payload, { job, abortSignal }) => {
      setMaxListeners(0, abortSignal); // one for all jobs that run, each of which may listen
      try {
        await handler(payload as Payload, abortSignal, job.attempts);
      } catch (error) {
        await spreadNextRun(this.db, job).catch((failed: unknown) =>
          this.log.warn(`job ${job.id} comes back as the queue has it`, failed),
        );
        throw error;
      }
    };
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
