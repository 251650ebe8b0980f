import { Inject, Injectable } from '@nestjs/common';
import { TokenBucket } from 'limiter';

/** What is left of an account's limit after a request. */
export interface Allowance {
  allowed: boolean;
  /** Requests that could follow at once. */
  remaining: number;
  /** Whole seconds, at least 1, in which no more than `remaining` should be sent; if that is 0, until there is one. */
  windowSeconds: number;
}

export const RATE_LIMIT = Symbol('RATE_LIMIT');

/**
 * A token bucket for each account, in the memory of this process: with n API processes behind a load balancer an
 * account gets up to n times the limit. It protects the process; it is no quota that anybody is billed by.
 */
@Injectable()
export class RateLimits {
  /** For `RateLimit-Policy`: `burst` at once, and `burst` in each window after that, which is the rate. */
  readonly quota: number;
  readonly windowSeconds: number;
  private readonly buckets = new Map<string, TokenBucket>();
  private nextSweep = 0;

  constructor(@Inject(RATE_LIMIT) private readonly limit: { perSecond: number; burst: number }) {
    this.quota = limit.burst;
    this.windowSeconds = Math.ceil(limit.burst / limit.perSecond);
  }

  /** How many accounts were active lately. */
  get size(): number {
    return this.buckets.size;
  }

  take(accountId: string): Allowance {
    this.dropIdle();
    const bucket = this.buckets.get(accountId) ?? this.full();
    this.buckets.set(accountId, bucket);
    const allowed = bucket.tryRemoveTokens(1);
    const remaining = Math.floor(bucket.content);
    // A client that spreads `remaining` over the window keeps to the rate (section 8.5 of the draft).
    const paced = remaining > 0 ? remaining : 1 - bucket.content;
    return {
      allowed,
      remaining,
      windowSeconds: Math.max(1, Math.ceil(paced / this.limit.perSecond)),
    };
  }

  private full(): TokenBucket {
    const { perSecond, burst } = this.limit;
    const bucket = new TokenBucket({
      bucketSize: burst,
      tokensPerInterval: perSecond,
      interval: 'second',
    });
    bucket.content = burst;
    return bucket;
  }

  /** A full bucket says no more than none. Looked for once in the time that an empty one takes to fill. */
  private dropIdle(): void {
    const now = performance.now();
    if (now < this.nextSweep) return;
    this.nextSweep = now + (this.limit.burst / this.limit.perSecond) * 1000;
    for (const [accountId, bucket] of this.buckets) {
      bucket.drip();
      if (bucket.content >= this.limit.burst) this.buckets.delete(accountId);
    }
  }
}
