import type { ExtendLease } from '../idempotency/operation.js';
import { elapsedMs } from '../database/clock.js';
import { nameOf } from '../log/redacted-error.js';
import {
  unknownAnswer,
  type NextDeadline,
  type Processor,
  type ProcessorAnswer,
  type Span,
} from '../processor/processor.js';
import type { Charge } from './charge.entity.js';

export const ABANDON_LIMITS = Symbol('ABANDON_LIMITS');

export interface AbandonLimits {
  /**
   * In ms. No attempt to take money starts later than this after reserve: a customer is not charged hours after an
   * outage.
   */
  deadlineMs: number;
  /**
   * How long after reserve the processor is sure to remember its key, in ms: 20 of Stripe's 24 hours. With a larger
   * value, a repeat may become a new payment. With a smaller one, the ledger is read sooner.
   */
  keyWindowMs: number;
}

/** `abandoned`: nothing was taken and, because of the fence, nothing can be taken. */
export type Ending = ProcessorAnswer | { kind: 'abandoned' };

/** In ms, on the clock of `elapsedMs()`. */
export interface AttemptTimes {
  /** When the charge was reserved. Negative if that was before this process started. */
  reservedAt: number;
  /** When all calls of the attempt must have ended, except those that read the ledger. */
  deadline: number;
  /** The deadline for each page of the ledger. @throws TakenOver */
  nextDeadline: NextDeadline;
}

/** Another attempt has taken over the lease. This attempt must not decide anything. */
class TakenOver extends Error {}

/** Extends the lease for each page of the ledger, so that the attempt keeps it while it reads a long ledger. */
export function deadlinesOf(extendLease: ExtendLease): NextDeadline {
  return async () => {
    const leftMs = await extendLease();
    if (leftMs === undefined) throw new TakenOver();
    return elapsedMs() + leftMs;
  };
}

/**
 * Abandons a charge in the order fence, look up, settle; the caller settles. Any process may repeat each step. The
 * charge stays pending while the processor does not answer. Fence and repeat share one deadline. The lookup may take
 * longer, because a ledger of any length must be read to its end. Proof: test/white-box/guarantees/abandon.spec.ts,
 * long-ledger.spec.ts, and test/guarantees/sleepers.spec.ts with a process that is suspended throughout.
 */
export async function abandon(
  processor: Processor,
  charge: Charge,
  { reservedAt, deadline, nextDeadline }: AttemptTimes,
  { deadlineMs, keyWindowMs }: AbandonLimits,
): Promise<Ending> {
  const fence = await processor.fence(charge.id, charge.processor_parameters, deadline);
  if (fence.kind === 'unknown') return unknownAnswer(fence.reason);
  // From now on, while the processor remembers the key, no attempt under it can take money for the first time.
  const windowEnd = reservedAt + keyWindowMs;
  if (fence.kind === 'used' && elapsedMs() < windowEnd) {
    // Even if this process is suspended here, no repeat starts after the window: it could be a new payment.
    const notAfter = Math.min(windowEnd, deadline);
    const original = await processor.pay(charge.id, charge.processor_parameters, notAfter);
    if (original.kind !== 'unknown' || !original.stored) return original;
    // The processor replays this stored failure on every repeat. Only its ledger shows the result.
  }
  try {
    const found = await processor.look(charge.id, spanOf(charge, deadlineMs), nextDeadline);
    return found?.answer ?? { kind: 'abandoned' };
  } catch (error) {
    return unknownAnswer(`the ledger cannot be read: ${nameOf(error)}`);
  }
}

/** When the payment may have been created: no attempt starts after the deadline, and the ledger has no delay. */
export function spanOf({ created_at: from }: Charge, deadlineMs: number): Span {
  return { from, to: new Date(from.getTime() + deadlineMs) };
}
