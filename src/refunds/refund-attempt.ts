import { elapsedMs } from '../database/clock.js';
import type { Database } from '../database/database.js';
import { nameOf } from '../log/redacted-error.js';
import { unknownAnswer, type Processor, type ProcessorAnswer } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';
import { lookForRefund } from './refunds-at-processor.js';

/** A pending refund and when it was reserved. */
export interface Attempt {
  refund: Refund;
  /** By `elapsedMs()`, which includes suspended time. */
  reservedAt: number;
  /** A second deadline by `elapsedMs()`, besides the lease's. The earlier one applies. */
  notAfter?: number;
}

/**
 * A refund is never abandoned. While the processor is sure to remember the key, send the refund. Later, read the ledger
 * first. If it shows nothing, a new window opens, because any other sender sent it after that lookup. No attempt starts
 * after its window, even if this process is suspended here: it would be a second refund.
 */
export async function askForRefund(
  db: Database,
  processor: Processor,
  { refund, reservedAt }: Attempt,
  keyWindowMs: number,
  deadline: number,
): Promise<ProcessorAnswer> {
  if (refund.processor !== processor.name) {
    const reason = `reserved for ${refund.processor}, this process has ${processor.name}`;
    return { kind: 'refused', reason, alarm: true };
  }
  const look = () => lookForRefund(db, processor, refund, deadline);
  let windowEnd = reservedAt + keyWindowMs;
  if (elapsedMs() >= windowEnd) {
    windowEnd = elapsedMs() + keyWindowMs; // measured before the lookup
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      return unknownAnswer(`the ledger cannot be read: ${nameOf(error)}`);
    }
  }
  const notAfter = Math.min(windowEnd, deadline);
  const answer = await processor.refund(refund.id, refund.processor_parameters, notAfter);
  if (answer.kind !== 'unknown' || !answer.stored) return answer;
  return (await look().catch(() => undefined)) ?? answer;
}
