import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { NextFunction, Request, Response } from 'express';
import { isIdempotent, operationOf } from '../../idempotency/idempotent.interceptor.js';
import {
  EngineProbe,
  OperationRegistry,
  type Intent,
  type ProbePoint,
} from '../../idempotency/operation.js';
import { validationFailed } from '../../http/problems/problem.js';
import { LAB_ACCOUNT } from '../journal.js';
import { DOCUMENTED_PROCESS_FAULTS, NETWORK_FAULTS, PROCESS_FAULTS } from '../fault-names.js';
import { theRecorder } from './lab-options.js';
import { recordNotification } from './recorded-requests.js';
import { rememberOwner, runContext } from './run-context.js';

/** Shorter than a lease, so the attempt continues in time. */
const DELAY_MS = 3_000;

const BREAKABLE = ['POST', 'PUT', 'DELETE'];

/** Middleware: breaks the connection where the fault says so. */
export function breakConnection(request: Request, response: Response, next: NextFunction): void {
  const fault = runContext.getStore()?.fault;
  if (fault === undefined || !BREAKABLE.includes(request.method)) return next();
  if (fault === 'lose-request') {
    request.socket.destroy();
    return;
  }
  if (fault === 'lose-response') {
    // By the time an answer is sent, everything has been committed.
    response.end = () => {
      request.socket.destroy();
      return response;
    };
  }
  next();
}

/** Refuses a fault that does not exist, or that the route cannot have. */
@Injectable()
export class LabFaultGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly operations: OperationRegistry,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const request = context.switchToHttp().getRequest<Request>();
    recordNotification(request); // its body was read, and nothing was done yet
    const fault = request.headers['lab-fault'];
    if (fault === undefined) return true;
    const isBreakable = BREAKABLE.includes(request.method);
    const hasThreeBeats = isBreakable && this.hasThreeBeats(request, context);
    if (isBreakable && NETWORK_FAULTS.some((name) => name === fault)) return true;
    if (hasThreeBeats && PROCESS_FAULTS.has(String(fault))) return true;
    const listed = [
      ...(isBreakable ? NETWORK_FAULTS : []),
      ...(hasThreeBeats ? DOCUMENTED_PROCESS_FAULTS : []),
    ];
    const detail =
      listed.length > 0
        ? `must be one of ${listed.join(', ')} here`
        : 'has no fault for this route';
    throw validationFailed([{ pointer: '/Lab-Fault', detail }]);
  }

  private hasThreeBeats(request: Request, context: ExecutionContext): boolean {
    if (!isIdempotent(this.reflector, context)) return false;
    return operationOf(request, this.operations).outside !== undefined;
  }
}

/** Records each point that the engine reaches in a run, and executes the fault that the request names for it. */
@Injectable()
export class LabProbe extends EngineProbe {
  override async reached(point: ProbePoint, intent: Intent & { operation: string }): Promise<void> {
    const { accountId: account, id, operation } = intent;
    const context = runContext.getStore();
    const journal = LAB_ACCOUNT.test(account) ? theRecorder()?.journal : undefined;
    const about = { account, ...(context?.attempt && { attempt: context.attempt }) };
    rememberOwner([id], account);
    journal?.write({ kind: 'point', point, operation, id }, about);
    const fault = PROCESS_FAULTS.get(context?.fault ?? '');
    if (fault?.at !== point) return;
    const is = { crash: 'killed', freeze: 'frozen', delay: 'delayed' } as const;
    journal?.write({ kind: 'process', program: 'api', is: is[fault.does], point }, about);
    if (fault.does === 'delay') return delay(DELAY_MS);
    delete context?.fault; // a process that wakes up continues
    process.kill(process.pid, fault.does === 'crash' ? 'SIGKILL' : 'SIGSTOP');
  }
}
