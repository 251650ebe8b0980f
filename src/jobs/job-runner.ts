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
import { JOB_POOLS, JobRegistry, type JobPool, type Payload, type RegisteredJob } from './jobs.js';
import { openQueuePool, untilIdle } from './queue-pool.js';
import { addRetryJitter, freeAbandonedJobs, unlockJobs } from './queue-tables.js';

export interface JobRunnerOptions {
  databaseUrl: string;
  /** How many jobs of each pool this process runs in parallel. An idle slot holds no connection. */
  concurrency: number;
  /**
   * How long a job may hold its lock, in ms. Every job ends long before; an older lock belongs to a process that was
   * killed or is suspended. Smaller: slow jobs run twice. Larger: jobs of killed processes run later.
   */
  lockMs: number;
  /** How long jobs may run after the process is asked to stop, in ms. Then they are unlocked for other processes. */
  stopMs: number;
}

export const JOB_RUNNER_OPTIONS = Symbol('JOB_RUNNER_OPTIONS');

const RESCUES_PER_LOCK = 6;

/**
 * How often each slot polls, in ms. LISTEN announces new jobs within milliseconds; polling serves retries that are due,
 * and a pooler in transaction mode, where LISTEN does not work. Smaller costs idle CPU: fifteen slots that poll every
 * two seconds caused almost half of an idle worker's load.
 */
const POLL_MS = 5_000;

/** Runs the jobs of the queue (graphile-worker), each at least once. */
@Injectable()
export class JobRunner
  implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown
{
  private readonly log = new Logger(JobRunner.name);
  private readonly rescuer: Loop;
  private readonly runners: Runner[] = [];
  /** The names under which our workers lock jobs. */
  private readonly lockNames: string[] = [];
  private connections: pg.Pool | undefined;
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
    this.connections = openQueuePool(databaseUrl, concurrency + 5);
    for (const pool of JOB_POOLS) await this.startRunner(this.connections, pool);
    this.rescuer.start();
  }

  /** Runs before other modules wait for their work in flight. After it, no new job starts. */
  onModuleDestroy(): void {
    this.stopped ??= this.stop();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.stopped;
  }

  private async startRunner(pgPool: pg.Pool, pool: JobPool): Promise<void> {
    const events = new EventEmitter();
    events.on('pool:create', ({ workerPool }: { workerPool: { id: string } }) =>
      this.lockNames.push(workerPool.id),
    );
    const runner = await run({
      pgPool,
      schema: QUEUE_SCHEMA,
      events,
      concurrency: this.options.concurrency,
      pollInterval: POLL_MS,
      noHandleSignals: true,
      noPreparedStatements: true, // our `Connection` prepares them, unless there is a pooler
      gracefulShutdownAbortTimeout: this.options.stopMs / 2,
      logger: this.queueLogger(),
      taskList: Object.fromEntries(
        this.jobs.of(pool).map((registered) => [registered.name, this.task(registered)]),
      ),
    });
    this.runners.push(runner);
    const ended = () => {
      // Deliberately unhandled: the process ends, and its supervisor starts a new one.
      if (!this.stopped) throw new Error(`the queue’s runner for ${pool} jobs has ended`);
    };
    void runner.promise.then(ended, ended);
  }

  private task({ handler }: RegisteredJob): Task {
    return async (payload, { job, abortSignal }) => {
      setMaxListeners(0, abortSignal); // all running jobs share this signal; no warning for many listeners
      try {
        await handler(payload as Payload, abortSignal, job.attempts);
      } catch (error) {
        await addRetryJitter(this.db, job).catch((failed: unknown) =>
          this.log.warn(`job ${job.id} is retried without jitter`, failed),
        );
        throw error;
      }
    };
  }

  /** Waits for running jobs, then unlocks the rest so that other processes need not wait for the locks to expire. */
  private async stop(): Promise<void> {
    const { connections } = this;
    if (!connections) return;
    const finished = this.finish(connections).then(() => true);
    if (await Promise.race([finished, delay(this.options.stopMs, false, { ref: false })])) return;
    // Crash here: the locks expire, and the rescuer of another process frees the jobs.
    await unlockJobs(connections, this.lockNames);
    this.log.warn('the jobs that were still running are back in the queue');
  }

  private async finish(connections: pg.Pool): Promise<void> {
    await Promise.all([this.rescuer.stop(), ...this.runners.map((runner) => runner.stop())]);
    await untilIdle(connections);
    await connections.end();
  }

  private queueLogger(): QueueLogger {
    return new QueueLogger(() => (level, message, meta) => {
      if (!['error', 'warning'].includes(level)) return;
      const { error, job } = (meta ?? {}) as { error?: unknown; job?: Partial<Job> };
      // The warning does not apply: idle slots hold no connection.
      if (message.includes('maxPoolSize')) return;
      // The library's message quotes the error, which may quote a customer's data.
      if (error === undefined) this.log.warn(message);
      else if (job === undefined) this.log.warn('the queue failed', error);
      else
        this.log.warn(`job ${job?.id} (${job?.task_identifier}), attempt ${job?.attempts}`, error);
    });
  }
}
