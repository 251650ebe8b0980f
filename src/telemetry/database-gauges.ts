import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { NEEDS_ATTENTION } from '../idempotency/attention.js';
import { IS_DEAD_LETTER, JOBS } from '../jobs/queue-tables.js';
import { poolOptions } from '../database/database.js';
import { Draining } from '../http/draining.js';
import { Metrics } from './metrics.js';

/**
 * With a longer timeout a scrape could exceed Prometheus' 10 s; with a shorter one a busy server counts as down.
 */
const TIMEOUT_MS = 2_000;

export const FIGURES = `
  SELECT count(record.key)::int AS unfinished,
    COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(first_seen_at)), 0)::float8 AS "oldestUnfinished",
    (SELECT count(*)::int FROM idempotency_records WHERE ${NEEDS_ATTENTION}) AS "needingAttention",
    (SELECT count(*)::int FROM parked_payments WHERE resolved_at IS NULL) AS parked,
    (SELECT count(*)::int FROM ${JOBS} WHERE ${IS_DEAD_LETTER}) AS "parkedJobs",
    (SELECT COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)), 0)::float8 FROM (
       SELECT min(run_at) AS due_at FROM (
         SELECT run_at FROM ${JOBS} WHERE is_available ORDER BY priority, run_at LIMIT 1) AS next_job
         WHERE run_at <= now()
       UNION ALL SELECT min(created_at) FROM events WHERE relayed_at IS NULL
       UNION ALL SELECT min(next_attempt_at) FROM webhook_deliveries
         WHERE status = 'pending' AND next_attempt_at <= now()) AS due) AS "oldestDueJob",
    (SELECT count(*)::int FROM reconciliation_differences WHERE repaired) AS "reconciliationRepaired",
    CASE WHEN last.id IS NOT NULL THEN
      (SELECT count(*)::int FROM reconciliation_differences WHERE run_id = last.id) END AS reconciliation,
    EXTRACT(EPOCH FROM clock_timestamp() - last.ended_at)::float8 AS "reconciliationAge"
  FROM (VALUES (true)) AS always
  LEFT JOIN (SELECT id, ended_at FROM reconciliation_runs WHERE ended_at IS NOT NULL
    ORDER BY ended_at DESC LIMIT 1) AS last ON true
  LEFT JOIN idempotency_records AS record ON record.state = 'in_progress'
  GROUP BY last.id, last.ended_at`;

/** The columns of `FIGURES`, which are also the names of the gauges. */
const GAUGES = [
  'unfinished',
  'oldestUnfinished',
  'needingAttention',
  'parked',
  'parkedJobs',
  'oldestDueJob',
  'reconciliationRepaired',
  'reconciliation', // of the last run; null if there was none
  'reconciliationAge',
] as const satisfies (keyof Metrics)[];

type Figures = Record<(typeof GAUGES)[number], number | null>;

/** The counters of a `pg` pool. TypeORM's driver keeps the pool as `master`. */
type PoolCounts = Pick<pg.Pool, 'totalCount' | 'idleCount' | 'waitingCount'>;

/** Gauges from the database, read at each scrape. */
@Injectable()
export class DatabaseGauges implements OnApplicationShutdown {
  private readonly client: pg.Pool;
  private readonly log = new Logger(DatabaseGauges.name);
  private reading: Promise<void> | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly metrics: Metrics,
    private readonly draining: Draining,
  ) {
    const { url } = dataSource.options as { url: string };
    // Its own connection, because the other gauges matter most when the pool is exhausted.
    this.client = new pg.Pool({
      ...poolOptions(url),
      max: 1,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: TIMEOUT_MS,
      query_timeout: TIMEOUT_MS,
      application_name: 'charge-once metrics',
    });
    this.client.on('error', () => undefined); // an idle connection was lost; the next scrape opens another
  }

  /** Never fails. Without the database its gauges are absent, because a stale value would look current. */
  refresh(): Promise<void> {
    return (this.reading ??= this.read().finally(() => (this.reading = undefined)));
  }

  async onApplicationShutdown(): Promise<void> {
    await this.client.end();
  }

  private async read(): Promise<void> {
    const { metrics } = this;
    metrics.draining.set(this.draining.started ? 1 : 0);
    this.readPool();
    const isUp = await this.client.query('SELECT 1').then(
      () => true,
      () => false,
    );
    metrics.databaseUp.set(isUp ? 1 : 0);
    const figures = isUp ? await this.readFigures() : {};
    for (const name of GAUGES) {
      const figure = figures[name] ?? null;
      if (figure === null) metrics[name].remove();
      else metrics[name].set(figure);
    }
  }

  /** @returns none if they took too long, which does not mean that the database is down. */
  private async readFigures(): Promise<Partial<Figures>> {
    try {
      return (await this.client.query<Figures>(FIGURES)).rows[0]!;
    } catch (error) {
      this.log.warn('the gauges of the database are missing in this scrape', error);
      return {};
    }
  }

  private readPool(): void {
    const { master } = this.dataSource.driver as unknown as { master?: PoolCounts };
    if (!master) return;
    this.metrics.pool.set({ state: 'total' }, master.totalCount);
    this.metrics.pool.set({ state: 'idle' }, master.idleCount);
    this.metrics.pool.set({ state: 'waiting' }, master.waitingCount);
  }
}
