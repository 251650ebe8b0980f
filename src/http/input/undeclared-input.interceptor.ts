import {
  Injectable,
  Module,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { Request } from 'express';
import type { Observable } from 'rxjs';
import { jsonPointer } from '../../idempotency/identity.js';
import { validationFailed } from '../problems/problem.js';

/**
 * Refuses query parameters, and body members, on a route that declares none; the pipe sees only what a handler
 * declares. It is an interceptor inside the engine's, so that a used key is answered first.
 */
@Injectable()
export class UndeclaredInputInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { query, body } = context.switchToHttp().getRequest<Request>();
    const declares = (kind: RouteParamtypes) =>
      positionOf(kind, context.getClass(), context.getHandler().name) !== undefined;
    const undeclared = [
      ...(declares(RouteParamtypes.QUERY) ? [] : Object.keys(query)),
      ...(declares(RouteParamtypes.BODY) ? [] : membersOf(body)),
    ];
    if (undeclared.length > 0) {
      throw validationFailed(
        undeclared.map((name) => ({
          pointer: jsonPointer('', name),
          detail: 'is not known to this route',
        })),
      );
    }
    return next.handle();
  }
}

@Module({ providers: [{ provide: APP_INTERCEPTOR, useClass: UndeclaredInputInterceptor }] })
export class UndeclaredInputModule {}

function membersOf(body: unknown): string[] {
  return typeof body === 'object' && body !== null && !Buffer.isBuffer(body)
    ? Object.keys(body)
    : [];
}

type Declarations = Record<string, { index: number }> | undefined;

/** Nest stores a handler's `@Query()` or `@Body()` under names such as `4:1`: kind and position. */
export function positionOf(
  kind: RouteParamtypes,
  controller: object,
  handler: string,
): number | undefined {
  const declared = Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, handler) as Declarations;
  return Object.entries(declared ?? {}).find(([name]) => name.startsWith(`${kind}:`))?.[1].index;
}
