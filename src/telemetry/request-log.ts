import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { Injectable, Logger } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { Draining } from '../http/draining.js';
import type { RedactedError } from '../log/redacted-error.js';
import { RequestWatch } from '../http/request-watch.js';
import { Metrics } from './metrics.js';

/** What the engine reports about a request while it runs. */
interface RequestFacts {
  outcome?: string;
  resource?: string;
  /** The log line is written: the client has its response, or has disconnected. */
  ended: boolean;
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** Health checks and scrapes run every few seconds, and matter only when they fail. */
const PROBES = new Set(['/health/live', '/health/ready', '/metrics']);

/**
 * One log line for each request when it ends, made only of named fields: ids, templates, codes, numbers. No header,
 * body or URL is logged, so nothing needs to be filtered out.
 */
@Injectable()
export class RequestLog extends RequestWatch {
  private readonly log = new Logger('Request');
  private readonly current = new AsyncLocalStorage<RequestFacts>();

  constructor(
    private readonly metrics: Metrics,
    private readonly draining: Draining,
  ) {
    super();
  }

  /** The request that the current code runs for; undefined in the sweep. */
  facts(): RequestFacts | undefined {
    return this.current.getStore();
  }

  override watch(request: Request, response: Response, next: NextFunction): void {
    const began = performance.now();
    const facts: RequestFacts = { ended: false };
    this.closeWhenDraining(response);
    // Bound to the request's context: the socket emits 'close' outside it, and the log line would have no trace id.
    response.once(
      'close',
      AsyncResource.bind(() => {
        facts.ended = true;
        this.end(request, response, facts, performance.now() - began);
      }),
    );
    this.current.run(facts, next);
  }

  /**
   * Checked when the response headers are written, so that it includes requests that were in flight when the stop
   * began.
   */
  private closeWhenDraining(response: Response): void {
    const writeHead = response.writeHead.bind(response) as (...head: unknown[]) => Response;
    response.writeHead = (...head: unknown[]) => {
      if (this.draining.started) response.setHeader('Connection', 'close');
      return writeHead(...head);
    };
  }

  private end(request: Request, response: Response, facts: RequestFacts, durationMs: number): void {
    const method = METHODS.has(request.method) ? request.method : 'OTHER';
    const route = templateOf(request);
    const status = response.writableFinished ? response.statusCode : 'aborted';
    this.metrics.requests.observe({ method, route, status: String(status) }, durationMs / 1000);
    const problem = response.locals.problem as { code: string; fault?: RedactedError } | undefined;
    this.log[levelOf(status, route)]({
      msg: 'request',
      request_id: request.requestId,
      account: request.accountId,
      operation: `${method} ${route}`,
      status,
      code: problem?.code,
      outcome: facts.outcome,
      resource: facts.resource,
      duration_ms: Math.round(durationMs * 10) / 10,
      fault: problem?.fault,
    });
  }
}

/** For example `/charges/{id}/refunds`, from the router. */
function templateOf(request: Request): string {
  const { path } = (request.route ?? {}) as { path?: unknown };
  return typeof path === 'string' ? path.replaceAll(/:(\w+)/g, '{$1}') : 'unmatched';
}

function levelOf(status: number | 'aborted', route: string): 'debug' | 'log' | 'warn' | 'error' {
  if (status === 500) return 'error';
  if (status !== 'aborted' && status > 500) return 'warn';
  return PROBES.has(route) ? 'debug' : 'log';
}
