import type { ExtendLease } from '../idempotency/operation.js';
import { elapsedMs } from '../database/clock.js';
import { nameOf } from '../log/fault.js';
import type { NextDeadline, Processor, ProcessorAnswer } from '../processor/processor.js';
import type { Charge } from './charge.entity.js';

export const ABANDON_LIMITS = Symbol('ABANDON_LIMITS');

export interface AbandonLimits {
  /** No attempt to take money begins later than this after reserve, in ms: nobody is charged hours after an outage. */
  deadlineMs: number;
  /**
   * How long after reserve the processor surely remembers its key, in ms: 20 of Stripe's 24 hours. Longer risks
   * that a repeat of the original is a new payment; shorter only means reading the ledger instead.
   */
  keyWindowMs: number;
}

/** Everything else has ended: nothing was taken and, because of the fence, nothing can be. */
export type Ending = ProcessorAnswer | { kind: 'abandoned' };

/** Of an attempt, by `elapsedMs()`, in ms. */
export interface AttemptTimes {
  /** When the charge was reserved; negative for what was reserved before this process began. */
  reservedAt: number;
  /** When all calls of the attempt must have ended, but for those that read the ledger. */
  deadline: number;
  /** For each page of the ledger. @throws TakenOver */
  nextDeadline: NextDeadline;
}

/** Another attempt holds the charge by now: this one reads no further, and decides nothing. */
class TakenOver extends Error {}

/** Each page of the ledger gets a whole lease, so that the attempt is alive for as long as it gets on. */
export function deadlinesOf(extendLease: ExtendLease): NextDeadline {
  return async () => {
    const leftMs = await extendLease();
    if (leftMs === undefined) throw new TakenOver();
    return elapsedMs() + leftMs;
  };
}

/**
 * Abandons a charge in the order fence, look, settle (the settling is the caller's). Each step may be repeated by any
 * process; while the processor does not answer, the charge stays pending. Fence and repeat share one deadline. The look
 * takes as long as the ledger is, so that a charge ends however much is sold around it.
 * Proof: test/white-box/guarantees/abandon.spec.ts, with a process that sleeps across all of it.
 */
export async function abandon(
  processor: Processor,
  charge: Charge,
  { reservedAt, deadline, nextDeadline }: AttemptTimes,
  { deadlineMs, keyWindowMs }: AbandonLimits,
): Promise<Ending> {
  const fence = await processor.fence(charge.id, charge.processor_parameters, deadline);
  if (fence.kind === 'unknown') return { ...fence, stored: false };
  // From here on no attempt under this key can take money that it has not taken yet.
  const windowEnd = reservedAt + keyWindowMs;
  if (fence.kind === 'used' && elapsedMs() < windowEnd) {
    // No repeat begins after the window, however long this process sleeps here: it would be a new payment.
    const notAfter = Math.min(windowEnd, deadline);
    const original = await processor.pay(charge.id, charge.processor_parameters, notAfter);
    if (original.kind !== 'unknown' || !original.stored) return original;
    // A failure that it will repeat for ever: only its ledger knows.
  }
  try {
    const from = charge.created_at;
    // The last attempt began before the deadline; it was made known in the ledger at once.
    const span = { from, to: new Date(from.getTime() + deadlineMs) };
    const found = await processor.look(charge.id, span, nextDeadline);
    return found?.answer ?? { kind: 'abandoned' };
  } catch (error) {
    return {
      kind: 'unknown',
      reason: `the ledger cannot be read: ${nameOf(error)}`,
      stored: false,
    };
  }
}
