import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { ProcessorObserver } from '../processor/observed-processor.js';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * The metrics of this process. Every label has a bounded set of values: operations, route templates, states and
 * kinds, but never a path, an id or a client's text. The registry is not the default one: a test runs several API
 * processes inside one Node process.
 */
@Injectable()
export class Metrics extends ProcessorObserver {
  readonly registry = new Registry();

  readonly outcomes = new Counter({
    name: 'charge_once_key_outcomes_total',
    help: 'Results of requests, and of attempts of the sweep, under their idempotency keys',
    labelNames: ['operation', 'outcome'] as const,
    registers: [this.registry],
  });

  readonly requests = new Histogram({
    name: 'charge_once_http_request_duration_seconds',
    help: 'HTTP requests by route template; status "aborted": the client disconnected before its response',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: SECONDS,
    registers: [this.registry],
  });

  readonly processorCalls = new Histogram({
    name: 'charge_once_processor_call_duration_seconds',
    help: 'Calls to the processor, including all attempts of its SDK, by kind of answer',
    labelNames: ['call', 'answer'] as const,
    buckets: SECONDS,
    registers: [this.registry],
  });

  readonly databaseUp = this.gauge(
    'charge_once_database_up',
    'Whether the database responded to this scrape; if not, the gauges of its rows are absent',
  );
  readonly unfinished = this.gauge(
    'charge_once_unfinished_records',
    'Idempotency records without an outcome, from all processes',
  );
  readonly oldestUnfinished = this.gauge(
    'charge_once_oldest_unfinished_seconds',
    'Age of the oldest unfinished record, by the database’s clock; 0 if there is none. Alarm when it exceeds minutes',
  );
  readonly needingAttention = this.gauge(
    'charge_once_records_needing_attention',
    'Records that the sweep no longer retries, after faults of our own. Alarm on any; `npm run jobs -- list` shows them',
  );
  readonly parked = this.gauge(
    'charge_once_parked_payments',
    'Open payments and refunds at the processor that our books do not contain. Alarm on any; `npm run jobs -- list` shows them',
  );
  readonly reconciliation = this.gauge(
    'charge_once_reconciliation_differences',
    'Differences between the processor’s ledger and our books in the last `npm run reconcile`, repaired or not; absent if it never ran',
  );
  readonly reconciliationRepaired = this.gauge(
    'charge_once_reconciliation_mended',
    'Repairs by `npm run reconcile` so far: lost charges and refunds rebuilt, late payments parked',
  );
  readonly reconciliationAge = this.gauge(
    'charge_once_reconciliation_age_seconds',
    'Age of the last `npm run reconcile`, by the database’s clock',
  );
  readonly parkedJobs = this.gauge(
    'charge_once_parked_jobs',
    'Jobs that have failed too often (dead letters). Alarm on any; `npm run jobs -- list` shows them',
  );
  readonly oldestDueJob = this.gauge(
    'charge_once_oldest_due_job_seconds',
    'Waiting time of the oldest due job, event or delivery; 0 if there is none. Alarm when it exceeds minutes',
  );
  readonly draining = this.gauge('charge_once_draining', 'Whether this process is stopping');

  readonly pool = new Gauge({
    name: 'charge_once_database_pool_connections',
    help: 'Connections of the pool (total and idle), and callers that wait for one',
    labelNames: ['state'] as const,
    registers: [this.registry],
  });

  constructor() {
    super();
    // CPU, memory, event-loop lag, garbage collection, handles.
    collectDefaultMetrics({ register: this.registry });
  }

  override ended(call: string, answer: string, seconds: number): void {
    this.processorCalls.observe({ call, answer }, seconds);
  }

  private gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: [this.registry] });
  }
}
