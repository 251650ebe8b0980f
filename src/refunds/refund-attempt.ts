import { elapsedMs } from '../database/clock.js';
import type { Database, Queryable } from '../database/database.js';
import { nameOf } from '../log/fault.js';
import type { Processor, ProcessorAnswer } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';
import { findPendingRefund } from './refund.queries.js';
import { lookForRefund } from './refunds-at-processor.js';

/** A pending refund, as the second beat needs it. */
export interface Attempt {
  refund: Refund;
  /** As that of a charge's attempt: by `elapsedMs()`, so that a process that sleeps afterwards notices. */
  reservedAt: number;
  /** Until when it may call, by `elapsedMs()`, if that is sooner than its lease allows. */
  notAfter?: number;
}

/** A pending refund with its age by the database's clock; undefined if there is none, or it has ended. */
export async function loadPendingRefund(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<Attempt | undefined> {
  const asked = elapsedMs(); // before: a process that sleeps while it is told counts the refund as older
  const refund = await findPendingRefund(db, accountId, id);
  return refund && { refund, reservedAt: asked - refund.age_ms };
}

/**
 * A refund is never abandoned. While the processor surely remembers its key, it is sent. After that its ledger is read
 * first; finding nothing opens a new window, since whoever has sent the refund meanwhile did so after the look. No
 * attempt begins after its window, however long this process sleeps here: it would be a second refund.
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
    windowEnd = elapsedMs() + keyWindowMs; // from before the look
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

export function unknownAnswer(reason: string): ProcessorAnswer {
  return { kind: 'unknown', reason, stored: false };
}
