import {
  Inject,
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Logger as QueueLogger, type Job, run, type Runner } from 'graphile-worker';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { Loop } from '../idempotency/loop.js';
import { JobRegistry, type JobHandler, type Payload } from './jobs.js';

export interface JobRunnerOptions {
  databaseUrl: string;
  /** How many jobs this process runs at once. */
  concurrency: number;
  /**
   * How long a job may hold its lock, in ms. Every job ends by itself long before; one that is locked longer belonged
   * to a process that was killed, or that sleeps. Shorter runs slow jobs twice; longer delays the rescue.
   */
  lockMs: number;
}

export const JOB_RUNNER_OPTIONS = Symbol('JOB_RUNNER_OPTIONS');

/** How often abandoned locks are looked for, in ms. */
const RESCUE_INTERVAL_MS = 5_000;

/** Runs the jobs of the queue (graphile-worker), each at least once. */
@Injectable()
export class JobRunner implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly log = new Logger(JobRunner.name);
  private readonly rescuer = new Loop('JobRescuer', RESCUE_INTERVAL_MS, () => this.rescue());
  private runner: Runner | undefined;
  private pool: pg.Pool | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly jobs: JobRegistry,
    @Inject(JOB_RUNNER_OPTIONS) private readonly options: JobRunnerOptions,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { databaseUrl, concurrency } = this.options;
    // A pool of its own: one connection listens, and a queue that is busy takes none from the sweep.
    this.pool = new pg.Pool({ connectionString: databaseUrl, max: concurrency + 2 });
    this.pool.on('error', (error) => this.log.warn('the queue lost a connection', error));
    this.pool.on('connect', (client) => client.on('error', () => {})); // told by the pool, above
    this.runner = await run({
      pgPool: this.pool,
      concurrency,
      noHandleSignals: true,
      logger: new QueueLogger(() => (level, message, meta) => {
        if (!['error', 'warning'].includes(level)) return;
        const { error, job } = (meta ?? {}) as { error?: unknown; job?: Partial<Job> };
        // Its text of a failed job quotes the error's message, and that may quote a customer.
        if (error === undefined) this.log.warn(message);
        else
          this.log.warn(
            `job ${job?.id} (${job?.task_identifier}), attempt ${job?.attempts}`,
            error,
          );
      }),
      taskList: Object.fromEntries(
        [...this.jobs.handlers].map(([name, handler]) => [name, task(handler)]),
      ),
    });
    this.rescuer.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.rescuer.stop();
    await this.runner?.stop();
    await this.pool?.end();
  }

  /** Frees the jobs of workers that are gone. If one only sleeps, its job runs twice: every effect expects that. */
  private async rescue(): Promise<void> {
    await this.dataSource.query(
      `SELECT graphile_worker.force_unlock_workers(array_agg(DISTINCT locked_by))
       FROM graphile_worker.jobs
       WHERE locked_at < now() - $1 * interval '1 millisecond'
       HAVING count(*) > 0`,
      [this.options.lockMs],
    );
  }
}

function task(handler: JobHandler): (payload: unknown) => Promise<void> {
  return (payload) => handler(payload as Payload);
}
