import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { NextFunction, Request, Response } from 'express';
import { isIdempotent, operationOf } from '../idempotency/idempotent.interceptor.js';
import { EngineProbe, OperationRegistry, type ProbePoint } from '../idempotency/operation.js';
import { validationFailed } from '../http/problems/problem.js';

/** Network faults: on any POST, PUT or DELETE. */
const NETWORK_FAULTS = ['lose-request', 'lose-response'] as const;

/** Process faults: on operations with three beats. Each kills the process at a probe point of the engine. */
const CRASHES: Readonly<Record<string, ProbePoint>> = {
  'crash-before-reserve': 'before-reserve',
  'crash-after-reserve': 'after-reserve',
  'crash-after-processor': 'after-perform',
  'crash-after-settle': 'after-settle',
};

const faultOfRequest = new AsyncLocalStorage<string>();

/** Middleware that runs first: breaks the connection as the header `Lab-Fault` says. */
export function injectLabFault(request: Request, response: Response, next: NextFunction): void {
  const fault = request.headers['lab-fault'];
  if (typeof fault !== 'string') return next();
  if (['POST', 'PUT', 'DELETE'].includes(request.method)) {
    if (fault === 'lose-request') {
      request.socket.destroy();
      return;
    }
    if (fault === 'lose-response') {
      // When the response is sent, everything is committed.
      response.end = () => {
        request.socket.destroy();
        return response;
      };
    }
  }
  faultOfRequest.run(fault, next);
}

/** Refuses a fault that does not exist or does not apply to the route. */
@Injectable()
export class LabFaultGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly operations: OperationRegistry,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<Request>();
    const fault = request.headers['lab-fault'];
    if (fault === undefined) return true;
    const known = this.faultsOf(request, context);
    if (known.includes(String(fault))) return true;
    const detail =
      known.length > 0 ? `must be one of ${known.join(', ')} here` : 'has no fault for this route';
    throw validationFailed([{ pointer: '/Lab-Fault', detail }]);
  }

  private faultsOf(request: Request, context: ExecutionContext): string[] {
    if (!['POST', 'PUT', 'DELETE'].includes(request.method)) return [];
    const threeBeats =
      isIdempotent(this.reflector, context) && operationOf(request, this.operations).outside;
    return [...NETWORK_FAULTS, ...(threeBeats ? Object.keys(CRASHES) : [])];
  }
}

/** Kills this process, as a power failure would, when the engine reaches the point that the request names. */
@Injectable()
export class LabFaultProbe extends EngineProbe {
  override reached(point: ProbePoint): void {
    const fault = faultOfRequest.getStore();
    if (fault !== undefined && CRASHES[fault] === point) process.kill(process.pid, 'SIGKILL');
  }
}
