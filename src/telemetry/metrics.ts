import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * What this process counts. Every label has a bounded set of values: operations, route templates, states and kinds,
 * never a path, an id or a text of a client's. A registry of its own, because tests run several processes in one.
 */
@Injectable()
export class Metrics {
  readonly registry = new Registry();

  readonly outcomes = new Counter({
    name: 'charge_once_key_outcomes_total',
    help: 'What became of requests, and of attempts of the sweep, under their idempotency keys',
    labelNames: ['operation', 'outcome'] as const,
    registers: [this.registry],
  });

  readonly requests = new Histogram({
    name: 'charge_once_http_request_duration_seconds',
    help: 'HTTP requests by route template; status "aborted" is a client that left before its answer',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: SECONDS,
    registers: [this.registry],
  });

  readonly processorCalls = new Histogram({
    name: 'charge_once_processor_call_duration_seconds',
    help: 'Calls to the processor, all attempts of its SDK included, by the kind of its answer',
    labelNames: ['call', 'answer'] as const,
    buckets: SECONDS,
    registers: [this.registry],
  });

  readonly databaseUp = this.gauge(
    'charge_once_database_up',
    'Whether the database answered when this page was made; without it the gauges of its rows are left out',
  );
  readonly unfinished = this.gauge(
    'charge_once_unfinished_records',
    'Idempotency records without an outcome, of all processes',
  );
  readonly oldestUnfinished = this.gauge(
    'charge_once_oldest_unfinished_seconds',
    'Age of the oldest of them, by the database’s clock; 0 if there is none. Alarm when it grows beyond minutes',
  );
  readonly needingAttention = this.gauge(
    'charge_once_records_needing_attention',
    'Records that recovery has stopped repeating, after failures of our own: alarm on any, `npm run jobs -- list` names them',
  );
  readonly parked = this.gauge(
    'charge_once_parked_payments',
    'Payments and refunds at the processor that our books do not account for, and that are open: alarm on any, `npm run jobs -- list` names them',
  );
  readonly reconciliation = this.gauge(
    'charge_once_reconciliation_differences',
    'What the last `npm run reconcile` has found between the processor’s ledger and ours, mended or not; absent if it never ran',
  );
  readonly reconciliationMended = this.gauge(
    'charge_once_reconciliation_mended',
    'What `npm run reconcile` has ever mended: lost charges and refunds rebuilt, late payments parked. Alarm when it grows',
  );
  readonly reconciliationAge = this.gauge(
    'charge_once_reconciliation_age_seconds',
    'How long ago that was, by the database’s clock',
  );
  readonly parkedJobs = this.gauge(
    'charge_once_parked_jobs',
    'Jobs that have failed too often: alarm on any, `npm run jobs -- list` tells which',
  );
  readonly oldestDueJob = this.gauge(
    'charge_once_oldest_due_job_seconds',
    'How long the oldest job, event or delivery that is due has been waiting; 0 if none does. Alarm when it grows beyond minutes',
  );
  readonly draining = this.gauge('charge_once_draining', 'Whether this process is stopping');

  readonly pool = new Gauge({
    name: 'charge_once_database_pool_connections',
    help: 'Connections of the pool (total, of these idle), and callers that wait for one',
    labelNames: ['state'] as const,
    registers: [this.registry],
  });

  constructor() {
    // CPU, memory, event-loop lag, garbage collection, handles.
    collectDefaultMetrics({ register: this.registry });
  }

  private gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: [this.registry] });
  }
}
