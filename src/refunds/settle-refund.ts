import { chargeToWire, type Charge } from '../charges/charge.entity.js';
import { addRefunded, lockCharge } from '../charges/charge.queries.js';
import { parkPayment } from '../charges/parked-payments.js';
import { recordEvent } from '../events/events.js';
import { deriveId } from '../idempotency/identity.js';
import type { Answer, Intent } from '../idempotency/operation.js';
import { created, problemAnswer } from '../http/answer.js';
import type { Tx } from '../database/database.js';
import { Problem } from '../http/problems/problem.js';
import type { ProcessorAnswer } from '../processor/processor.js';
import { refundToWire, type Refund } from './refund.entity.js';
import {
  endRefund,
  findRefundByReference,
  releaseReference,
  reverseSucceeded,
  type RefundEnd,
} from './refund.queries.js';
import { REFUND_FAILED } from './refund.problems.js';
import { linkTo } from '../http/resource-link.js';

/** The failure code of a refund that the processor refused because of what had gone back without us. */
export const EXCEEDS = 'refund_exceeds_charge';
/** The failure code of a refund that was booked as made at the desk, and then was found to be one of ours. */
const COUNTED_ELSEWHERE = 'counted_as_another_refund';

/** The id of a refund that names none of ours: the processor's reference names it. */
export function foreignRefundId(accountId: string, reference: string): string {
  return deriveId('re', accountId, 'made at the processor', reference);
}

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

/**
 * The processor's word does not fit what our books say of the other refunds of the charge: they are behind. Whoever
 * meets this reads the processor's list, outside of any transaction, and tries again.
 */
export class RefundsBehind extends Error {}

/**
 * The third beat: refund, charge and event move together. Locks go record, charge, refund, as in the first beat.
 * @throws RefundsBehind if more would have gone back than was taken: an earlier refund must have failed since.
 */
export async function settleRefund(
  tx: Tx,
  chargeId: string,
  told: RefundEnd,
  { accountId, id }: Pick<Intent, 'accountId' | 'id'>,
): Promise<Refund> {
  const locked = await lockCharge(tx, accountId, chargeId);
  if (!locked) throw new Error(`${id} gives back ${chargeId}, which is not there`);
  const { charge: before, end } = await takeOver(tx, locked, id, told);
  const refund = await endRefund(tx, accountId, id, end);
  if (refund.status === 'succeeded') {
    if (before.amount_refunded + refund.amount > before.amount)
      throw new RefundsBehind(`${id} succeeded, but ${chargeId} has not so much left`);
    const charge = await addRefunded(tx, before, refund.amount);
    await recordEvent(tx, {
      accountId,
      type: 'charge.refunded',
      cause: id,
      object: chargeToWire(charge),
    });
  } else {
    await recordFailed(tx, refund);
  }
  return refund;
}

/**
 * The same refund may have been booked as made at the processor's desk: its names were edited away there, and ours was
 * not pending here, as after a restore. The row of ours takes over its reference and how it ended; its sum is counted
 * once. The charge is locked.
 */
async function takeOver(
  tx: Tx,
  charge: Charge,
  id: string,
  end: RefundEnd,
): Promise<{ charge: Charge; end: RefundEnd }> {
  const { account_id } = charge;
  if (end.reference === null) return { charge, end };
  const booked = await findRefundByReference(tx, account_id, end.reference);
  const isForeign = booked?.id === foreignRefundId(account_id, end.reference);
  if (!booked || booked.id === id || !isForeign) return { charge, end };
  const released = await releaseReference(tx, booked, COUNTED_ELSEWHERE);
  if (booked.status === 'failed') {
    const failureCode = booked.failure_code ?? 'failed';
    return { charge, end: { status: 'failed', failureCode, reference: end.reference } };
  }
  await recordFailed(tx, released);
  return { charge: await addRefunded(tx, charge, -booked.amount), end };
}

/**
 * A refund that had succeeded failed after all: the bank sent the money back. Its amount can be refunded again. One
 * that we owed is parked as well, because nothing asks for it a second time by itself: the same card would most likely
 * fail again, and an order that was canceled for it has no job left. A person refunds it with a key of their own, or
 * pays the customer in another way.
 * @param end the processor's word, with its name for the refund.
 * @returns the refund, with the line for the log if we owed it; undefined if it was done before, or had not succeeded.
 */
export async function reverseRefund(
  tx: Tx,
  { account_id, charge_id, id }: Pick<Refund, 'account_id' | 'charge_id' | 'id'>,
  { reference, failureCode }: { reference: string; failureCode: string },
): Promise<{ refund: Refund; alarm: string | undefined } | undefined> {
  const charge = await lockCharge(tx, account_id, charge_id);
  const refund = await reverseSucceeded(tx, { account_id, id }, reference, failureCode);
  if (!charge || !refund) return undefined;
  await addRefunded(tx, charge, -refund.amount);
  await recordFailed(tx, refund);
  const { amount, currency, cause } = refund;
  const owed = { account_id, processor_reference: reference, charge_id, amount, currency };
  if (cause === null) return { refund, alarm: undefined };
  const alarm =
    (await parkPayment(tx, { ...owed, reason: 'owed_refund_failed' })) ??
    `${id}, which we owed, failed after it had succeeded; ${reference} was parked before, a person must look`;
  return { refund, alarm };
}

async function recordFailed(tx: Tx, refund: Refund): Promise<void> {
  await recordEvent(tx, {
    accountId: refund.account_id,
    type: 'refund.failed',
    cause: refund.id,
    object: refundToWire(refund),
  });
}

/** The answer that a refund's end stands for, from its row alone. */
export function refundAnswer(refund: Refund, requestId: string): Answer {
  if (refund.status === 'succeeded')
    return created(linkTo('refund', refund.id).url, refundToWire(refund));
  const detail =
    refund.failure_code === EXCEEDS
      ? 'The processor refused it: more of this charge had gone back there than we knew. Its `amount_refunded` is right now.'
      : `The refund failed: ${refund.failure_code}.`;
  const problem = new Problem(REFUND_FAILED, detail, {
    extensions: { failure_code: refund.failure_code, refund: refund.id, charge: refund.charge_id },
  });
  return problemAnswer(problem, requestId);
}
