import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';
import { Problem } from '../http/problems/problem.js';
import { PUBLIC } from '../http/public.js';
import { Accounts } from './accounts.js';
import { UNAUTHORIZED } from './account.problems.js';

declare module 'express-serve-static-core' {
  interface Request {
    /** Set once the API key was accepted. */
    accountId?: string;
  }
}

/** Who is calling. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly accounts: Accounts,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (
      this.reflector.getAllAndOverride<boolean>(PUBLIC, [context.getHandler(), context.getClass()])
    )
      return true;
    const request = context.switchToHttp().getRequest<Request>();
    const apiKey = bearerToken(request);
    request.accountId = apiKey === undefined ? undefined : await this.accounts.findByApiKey(apiKey);
    if (request.accountId === undefined) {
      throw new Problem(UNAUTHORIZED, 'Send a valid API key: `Authorization: Bearer <api key>`.', {
        headers: { 'WWW-Authenticate': 'Bearer' },
      });
    }
    return true;
  }
}

/** RFC 6750, section 2.1; the scheme's name is case-insensitive. */
export function bearerToken(request: Request): string | undefined {
  return /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
}

/** The caller's account, on routes that need one. */
export function accountIdOf(request: Request): string {
  if (request.accountId === undefined) throw new Error('this route is public and has no account');
  return request.accountId;
}
