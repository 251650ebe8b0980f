import { setTimeout as delay } from 'node:timers/promises';
import type { Limits } from '../profile/profile.js';

/** The run has used up its requests. */
export class CapReached extends Error {
  override readonly name = 'CapReached';
}

/** Limits the whole run, because others may also use the API under test. */
export class Load {
  requests = 0;
  /** The most requests that were open at one time. */
  peak = 0;
  /** A request was refused because of the cap. */
  exhausted = false;
  private open = 0;
  private readonly waiting: (() => void)[] = [];
  private nextAt = 0;

  constructor(readonly limits: Limits) {}

  /**
   * Waits for its turn, so that `count` requests may be sent together.
   * @returns a function to call when they have ended.
   * @throws CapReached
   */
  async enter(count = 1): Promise<() => void> {
    const { maxRequests, maxConcurrency, requestsPerSecond } = this.limits;
    if (this.requests + count > maxRequests) {
      this.exhausted = true;
      throw new CapReached(`the cap of ${maxRequests} requests is reached`);
    }
    this.requests += count;
    while (this.open > 0 && this.open + count > maxConcurrency)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.open += count;
    this.peak = Math.max(this.peak, this.open);
    const now = performance.now();
    const pauseMs = this.nextAt - now;
    this.nextAt = Math.max(now, this.nextAt) + (count * 1000) / requestsPerSecond;
    if (pauseMs > 0) await delay(pauseMs);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.open -= count;
      for (const wake of this.waiting.splice(0)) wake();
    };
  }
}
