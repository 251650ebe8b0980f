import { chargeToWire } from '../charges/charge.entity.js';
import { addRefunded, lockCharge } from '../charges/charge.queries.js';
import { recordEvent } from '../events/events.js';
import type { Answer, Intent } from '../idempotency/operation.js';
import { created, problemAnswer } from '../platform/answer.js';
import type { Tx } from '../platform/database.js';
import { Problem } from '../platform/problem.js';
import type { ProcessorAnswer } from '../processor/processor.js';
import { refundLink, refundToWire, type Refund } from './refund.entity.js';
import { endRefund, type RefundEnd } from './refund.queries.js';

/** How a refund ends by what the processor said; undefined if it does not end by that. */
export function refundEndOf(answer: ProcessorAnswer): RefundEnd | undefined {
  switch (answer.kind) {
    case 'succeeded':
      return { status: 'succeeded', reference: answer.reference };
    case 'rejected':
      return { status: 'failed', failureCode: answer.failureCode, reference: answer.reference };
    case 'declined':
      return { status: 'failed', failureCode: answer.code, reference: answer.reference };
    case 'refused':
    case 'unknown':
      return undefined;
  }
}

/** The third beat: refund, charge and event move together. Locks go record, charge, refund, as in the first beat. */
export async function settleRefund(
  tx: Tx,
  chargeId: string,
  end: RefundEnd,
  { accountId, id }: Pick<Intent, 'accountId' | 'id'>,
): Promise<Refund> {
  const before = await lockCharge(tx, accountId, chargeId);
  if (!before) throw new Error(`${id} gives back ${chargeId}, which is not there`);
  const refund = await endRefund(tx, accountId, id, end);
  if (refund.status === 'succeeded') {
    const charge = await addRefunded(tx, before, refund.amount);
    await recordEvent(tx, {
      accountId,
      type: 'charge.refunded',
      cause: id,
      object: chargeToWire(charge),
    });
  }
  return refund;
}

/** The answer that a refund's end stands for, from its row alone. */
export function refundAnswer(refund: Refund, requestId: string): Answer {
  if (refund.status === 'succeeded')
    return created(refundLink(refund.id).url, refundToWire(refund));
  const problem = new Problem('refund_failed', `The refund failed: ${refund.failure_code}.`, {
    extensions: { failure_code: refund.failure_code, refund: refund.id, charge: refund.charge_id },
  });
  return problemAnswer(problem, requestId);
}
