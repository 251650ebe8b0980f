import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Request, Response } from 'express';
import { Problem } from '../http/problems/problem.js';
import { RateLimits } from './rate-limits.js';
import { RATE_LIMITED } from '../http/problems/http.problems.js';

/** The name of our one policy in the two headers. */
const POLICY = '"account"';

/**
 * How often. Before the body is read and the key is looked at: a refused request has touched nothing, and a replay
 * counts like any request. Headers: draft-ietf-httpapi-ratelimit-headers-11.
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  constructor(private readonly limits: RateLimits) {}

  canActivate(context: ExecutionContext): boolean {
    const http = context.switchToHttp();
    const { accountId } = http.getRequest<Request>();
    if (accountId === undefined) return true; // a public route
    const { allowed, remaining, windowSeconds } = this.limits.take(accountId);
    http
      .getResponse<Response>()
      .setHeader(
        'RateLimit-Policy',
        `${POLICY};q=${this.limits.quota};w=${this.limits.windowSeconds}`,
      )
      .setHeader('RateLimit', `${POLICY};r=${remaining};t=${windowSeconds}`);
    if (allowed) return true;
    throw new Problem(RATE_LIMITED, 'Your account has sent too many requests just now.', {
      headers: { 'Retry-After': String(windowSeconds) },
    });
  }
}
