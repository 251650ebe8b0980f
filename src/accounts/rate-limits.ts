import { Inject, Injectable } from '@nestjs/common';
import { TokenBucket } from 'limiter';

/** What remains of an account's limit after a request. */
export interface Allowance {
  allowed: boolean;
  /** Requests that the account may send now. */
  remaining: number;
  /**
   * Whole seconds, at least 1. In this time the account should send at most `remaining` requests; if that is 0, it
   * should wait this long.
   */
  windowSeconds: number;
}

export const RATE_LIMIT = Symbol('RATE_LIMIT');

/**
 * A token bucket for each account, in this process's memory: with n API processes an account gets up to n times the
 * limit. It protects the process; it is not a billing quota.
 */
@Injectable()
export class RateLimits {
  /** For `RateLimit-Policy`: `burst` requests immediately, and then `burst` in each window, which is the rate. */
  readonly quota: number;
  readonly windowSeconds: number;
  private readonly buckets = new Map<string, TokenBucket>();
  private nextSweep = 0;

  constructor(@Inject(RATE_LIMIT) private readonly limit: { perSecond: number; burst: number }) {
    this.quota = limit.burst;
    this.windowSeconds = Math.ceil(limit.burst / limit.perSecond);
  }

  /** The number of recently active accounts. */
  get size(): number {
    return this.buckets.size;
  }

  take(accountId: string): Allowance {
    this.dropIdle();
    const bucket = this.buckets.get(accountId) ?? this.full();
    this.buckets.set(accountId, bucket);
    const allowed = bucket.tryRemoveTokens(1);
    const remaining = Math.floor(bucket.content);
    // A client that spreads `remaining` over the window stays within the rate (section 8.5 of the draft).
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

  /** Drops full buckets, because a new bucket is full as well. Runs once in the time in which an empty bucket fills. */
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
