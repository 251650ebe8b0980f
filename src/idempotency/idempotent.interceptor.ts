import {
  Inject,
  Injectable,
  SetMetadata,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { NextFunction, Request, Response } from 'express';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { IdempotencyEngine } from './engine.js';
import { deriveId, fingerprintOf, memberHashes } from './identity.js';
import { parseIdempotencyKey, parsePreferWait } from './key-header.js';
import { OperationRegistry, type Operation, type Plan } from './operation.js';
import type { Result } from './record.entity.js';

export const IDEMPOTENT = Symbol('IDEMPOTENT');

/** Marks a handler that needs an `Idempotency-Key` and returns a `Plan` instead of an answer. */
export const Idempotent = () => SetMetadata(IDEMPOTENT, true);

/** How the application identifies caller and request. Both are read after the guards have run. */
export interface RequestFacts {
  /** The owner of the key. A client must not be able to choose it, and it must not change with credentials. */
  accountId(request: Request): string;
  /**
   * Called once for each request. The server must create it: the engine takes two requests with one id for the same.
   */
  requestId(request: Request): string;
}

export const REQUEST_FACTS = Symbol('REQUEST_FACTS');

/**
 * Turns a handler's plan into an answer, in the same way for the first request and for every retry.
 *
 * Guards, pipes, validation and the handler run before anything is written, so a refused request leaves no trace. The
 * engine runs in a promise, not in the response stream, so it continues when a client hangs up.
 */
@Injectable()
export class IdempotentInterceptor implements NestInterceptor {
  constructor(
    private readonly reflector: Reflector,
    private readonly engine: IdempotencyEngine,
    private readonly operations: OperationRegistry,
    @Inject(REQUEST_FACTS) private readonly facts: RequestFacts,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (!isIdempotent(this.reflector, context)) return next.handle();
    const http = context.switchToHttp();
    return from(this.answer(http.getRequest(), http.getResponse(), next));
  }

  private async answer(request: Request, response: Response, next: CallHandler): Promise<string> {
    const key = parseIdempotencyKey(request.headersDistinct['idempotency-key']);
    const waitSeconds = parsePreferWait(request.headersDistinct.prefer?.join(','));
    if (waitSeconds !== undefined) response.setHeader('Preference-Applied', `wait=${waitSeconds}`);
    const operation = operationOf(request, this.operations);
    const accountId = this.facts.accountId(request);
    const requestId = this.facts.requestId(request);
    const id = deriveId(operation.idPrefix, accountId, operation.name, key);
    const { params, query, body } = request as Request<Record<string, string>, unknown, unknown>;
    const plan = await lastValueFrom(next.handle()).then(asPlan).catch(asError);
    const result = await this.engine.run(
      {
        accountId,
        key,
        operation: operation.name,
        id,
        fingerprint: fingerprintOf({ params, query, body }),
        members: memberHashes(id, body),
        requestId,
      },
      plan,
      waitSeconds === undefined ? undefined : waitSeconds * 1000,
    );
    writeHead(response, result, requestId);
    return result.answer.body;
  }
}

export function operationOf(request: Request, operations: OperationRegistry): Operation {
  const { path } = request.route as { path: string };
  return operations.get(nameOfOperation(request.method, path));
}

export function nameOfOperation(method: string, path: string): string {
  return `${method.toUpperCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`;
}

export function isIdempotent(reflector: Reflector, context: ExecutionContext): boolean {
  return reflector.get<boolean | undefined>(IDEMPOTENT, context.getHandler()) === true;
}

/** Middleware: echoes a valid key on every response, including errors of the framework. */
export function echoIdempotencyKey(request: Request, response: Response, next: NextFunction): void {
  const lines = request.headersDistinct['idempotency-key'];
  if (request.method === 'POST' && lines) {
    try {
      parseIdempotencyKey(lines);
      response.setHeader('Idempotency-Key', lines[0]!);
    } catch {
      // The interceptor refuses an invalid key later; it is not echoed.
    }
  }
  next();
}

function writeHead(response: Response, result: Result, requestId: string): void {
  response.status(result.answer.status);
  for (const [name, value] of Object.entries(result.answer.headers))
    response.setHeader(name, value);
  response.setHeader('Idempotency-Expires', result.expiresAt.toISOString());
  if (result.replayed) response.setHeader('Idempotent-Replayed', 'true');
  if (result.originalRequestId !== requestId) {
    response.setHeader('Original-Request-Id', result.originalRequestId);
  }
}

/** Fails before anything is written if an interceptor has replaced the plan. */
function asPlan(returned: unknown): Plan {
  if (isPlan(returned)) return returned;
  throw new Error('the handler of an @Idempotent() route did not return a plan');
}

function isPlan(returned: unknown): returned is Plan {
  const { insert, reserve } = Object(returned) as Record<string, unknown>;
  return typeof insert === 'function' || typeof reserve === 'function';
}

function asError(error: unknown): Error {
  return error instanceof Error
    ? error
    : new Error('the handler threw something that is not an Error', { cause: error });
}
