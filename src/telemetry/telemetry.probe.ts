import { Injectable, Logger, type Type } from '@nestjs/common';
import {
  EngineProbe,
  type Intent,
  type KeyOutcome,
  type ProbePoint,
} from '../idempotency/operation.js';
import { Draining } from '../http/draining.js';
import { Metrics } from './metrics.js';
import { RequestLog } from './request-log.js';

/** Turns the engine's events into fields of the request's log line, log lines of the sweep, and counters. */
@Injectable()
export class TelemetryProbe extends EngineProbe {
  private readonly log = new Logger('Engine');

  constructor(
    private readonly requests: RequestLog,
    private readonly metrics: Metrics,
    private readonly draining: Draining,
  ) {
    super();
  }

  override reached(point: ProbePoint): void {
    // Until `ended`, shutdown waits for this request even if its client hangs up.
    const request = this.requests.facts();
    if (point === 'before-perform' && request) this.draining.add(request);
  }

  override ended(outcome: KeyOutcome, intent: Intent & { operation: string }): void {
    this.metrics.outcomes.inc({ operation: intent.operation, outcome });
    const request = this.requests.facts();
    if (request) {
      request.outcome = outcome;
      // The id derived from a reused key belongs to another request's object.
      if (outcome !== 'reused') request.resource = intent.id;
      this.draining.remove(request);
    }
    // The sweep has no request, and the log line of a client that hung up is already written.
    if (!request || request.ended) {
      this.log.log({
        msg: request ? 'ended after its client disconnected' : 'recovery',
        request_id: intent.requestId,
        account: intent.accountId,
        operation: intent.operation,
        outcome,
        resource: intent.id,
      });
    }
  }
}

/** Calls telemetry first, then another probe, so that a lab fault is counted and logged before it kills the process. */
export function telemetryThen(Last: Type<EngineProbe>): Type<EngineProbe> {
  @Injectable()
  class TelemetryThenLast extends EngineProbe {
    private readonly last = new Last();

    constructor(private readonly telemetry: TelemetryProbe) {
      super();
    }

    override reached(...what: Parameters<EngineProbe['reached']>): void | Promise<void> {
      this.telemetry.reached(what[0]);
      return this.last.reached(...what);
    }

    override ended(...what: Parameters<EngineProbe['ended']>): void {
      this.telemetry.ended(...what);
      this.last.ended(...what);
    }
  }
  return TelemetryThenLast;
}
