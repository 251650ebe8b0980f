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
    const undeclared = [
      ...(declares(context, RouteParamtypes.QUERY) ? [] : Object.keys(query)),
      ...(declares(context, RouteParamtypes.BODY) ? [] : membersOf(body)),
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

/** Nest stores the declarations of `@Query()` and `@Body()` under names such as `4:1`: kind and position. */
function declares(context: ExecutionContext, kind: RouteParamtypes): boolean {
  const declared = Reflect.getMetadata(
    ROUTE_ARGS_METADATA,
    context.getClass(),
    context.getHandler().name,
  ) as object | undefined;
  return Object.keys(declared ?? {}).some((name) => name.startsWith(`${kind}:`));
}
