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

type KeyedIntent = Intent & { operation: string };

/** Turns what the engine announces into fields of the request's line, log lines of the sweep, and counters. */
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
    // From here to `ended` there is work that a client who hangs up must not cut short.
    const request = this.requests.facts();
    if (point === 'before-perform' && request) this.draining.add(request);
  }

  override ended(outcome: KeyOutcome, intent: KeyedIntent): void {
    this.metrics.outcomes.inc({ operation: intent.operation, outcome });
    const request = this.requests.facts();
    if (request) {
      request.outcome = outcome;
      // Another intent's id stands for nothing that exists.
      if (outcome !== 'reused') request.resource = intent.id;
      this.draining.remove(request);
    }
    // The sweep has no request; a client that hung up has had its line.
    if (!request || request.ended) {
      this.log.log({
        msg: request ? 'ended without its client' : 'recovery',
        request_id: intent.requestId,
        account: intent.accountId,
        operation: intent.operation,
        outcome,
        resource: intent.id,
      });
    }
  }
}

/** Telemetry first, then another probe: a lab fault that kills the process has been counted and logged by then. */
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
