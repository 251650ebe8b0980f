import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Application, Request, Response } from 'express';
import { QueryFailedError } from 'typeorm';
import {
  DatabaseUnavailable,
  IdempotencyError,
  isConnectionLost,
  isTransient,
} from '../../idempotency/errors.js';
import { redactError } from '../../log/redacted-error.js';
import { INTERNAL_ERROR, METHOD_NOT_ALLOWED } from './http.problems.js';
import { Problem, PROBLEM_TYPE, problemBody } from './problem.js';
import { NOT_FOUND, OUTCOME_UNKNOWN } from '../../idempotency/problem-types.js';

/** Writes every error of every route, including the framework's errors, as application/problem+json. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly adapter: HttpAdapterHost) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    const problem = this.problemOf(error, request);
    const { cause } = problem;
    // For the request's log line.
    response.locals.problem = {
      code: problem.code,
      ...(problem.status >= 500 && cause !== undefined && { fault: redactError(cause) }),
    };
    if (response.headersSent) {
      response.destroy();
      return;
    }
    // In seconds. A problem with another time sets the header below.
    if (problem.retry === 'same_key') response.setHeader('Retry-After', '1');
    for (const [name, value] of Object.entries(problem.headers)) response.setHeader(name, value);
    response
      .status(problem.status)
      .setHeader('Content-Type', PROBLEM_TYPE)
      .send(JSON.stringify(problemBody(problem, request.requestId)));
  }

  private problemOf(error: unknown, request: Request): Problem | IdempotencyError {
    if (isProblem(error)) return error;
    if (isConnectionLost(error) && mayHaveHappened(error, request))
      return outcomeOf(request, error);
    if (isTransient(error)) return new DatabaseUnavailable({ cause: error });
    // Nest's own 404, and Express' refusal of a path that cannot be decoded, which Nest wraps in a 400.
    if (error instanceof HttpException) {
      if (error.getStatus() === 404 || error.cause instanceof URIError)
        return this.noSuchRoute(request);
    }
    return new Problem(INTERNAL_ERROR, 'A fault of ours; `request_id` names it in our logs.', {
      cause: error,
    });
  }

  private noSuchRoute(request: Request): Problem {
    const methods = methodsOf(this.adapter.httpAdapter.getInstance<Application>(), request.path);
    if (methods.length === 0) return new Problem(NOT_FOUND, `There is no route ${request.path}.`);
    return new Problem(METHOD_NOT_ALLOWED, `${request.path} has no ${request.method}.`, {
      headers: { Allow: methods.join(', ') },
    });
  }
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Whether a request may have taken effect even though the connection was lost. For a request with a key the engine
 * reads the record and answers; this covers the others. Proof: test/guarantees/lost-write.spec.ts.
 */
function mayHaveHappened(error: unknown, { method, headers, accountId }: Request): boolean {
  // Otherwise there was no connection to send anything on, not even a COMMIT.
  const sent = error instanceof QueryFailedError;
  const callerLookedUp = headers.authorization === undefined || accountId !== undefined;
  return sent && callerLookedUp && !SAFE_METHODS.has(method);
}

function outcomeOf({ headers }: Request, cause: unknown): Problem {
  const again = headers['if-none-match']
    ? 'If the same request with If-None-Match is then refused with 412, GET the object: it may be what this one made.'
    : 'Send the same request again.';
  const detail = `The database was lost while this request ran: it may have taken effect. ${again}`;
  return new Problem(OUTCOME_UNKNOWN, detail, { cause });
}

/** The methods that some route has for this path; Express keeps its routes in `router.stack`. */
function methodsOf(app: Application, path: string): string[] {
  const methods = new Set<string>();
  for (const layer of app.router.stack) {
    if (!layer.route || !matches(layer, path)) continue;
    for (const { method } of layer.route.stack) {
      methods.add(method.toUpperCase());
      if (method === 'get') methods.add('HEAD');
    }
  }
  return [...methods].sort();
}

/** The router calls `match` on each layer, but its type declarations omit that method. */
function matches(layer: object, path: string): boolean {
  try {
    return (layer as { match(path: string): boolean }).match(path);
  } catch {
    return false; // not decodable
  }
}

function isProblem(error: unknown): error is Problem | IdempotencyError {
  return error instanceof Problem || error instanceof IdempotencyError;
}
