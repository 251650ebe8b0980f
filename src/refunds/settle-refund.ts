import { chargeToWire, type Charge } from '../charges/charge.entity.js';
import { addRefunded, lockCharge, type PaymentEnd } from '../charges/charge.queries.js';
import { parkPayment } from '../charges/parked-payments.js';
import type { RefundDiscrepancy } from './parked-refunds.js';
import { recordEvent } from '../events/events.js';
import { deriveId } from '../idempotency/identity.js';
import type { Answer, Intent } from '../idempotency/operation.js';
import { created, problemAnswer } from '../http/answer.js';
import type { Tx } from '../database/database.js';
import { Problem } from '../http/problems/problem.js';
import { refundToWire, type Refund } from './refund.entity.js';
import {
  endRefund,
  findRefundByReference,
  releaseReference,
  reverseSucceeded,
} from './refund.queries.js';
import { REFUND_FAILED } from './refund.problems.js';
import { linkTo } from '../http/resource-link.js';

/** Failure code: the processor refused the refund because of refunds that our books did not have. */
export const EXCEEDS = 'refund_exceeds_charge';
/** Failure code: the refund was booked as made at the processor and then turned out to be one of ours. */
const COUNTED_ELSEWHERE = 'counted_as_another_refund';

/** The id of a refund that was made at the processor, derived from its reference there. */
export function foreignRefundId(accountId: string, reference: string): string {
  return deriveId('re', accountId, 'made at the processor', reference);
}

/**
 * The processor's answer does not fit our other refunds of the charge: our books are behind. The caller reads the
 * processor's list outside of the transaction, then tries again.
 */
export class RefundsOutOfDate extends Error {}

/**
 * The third beat: refund, charge and event change together. Lock order: record, charge, refund.
 * @throws RefundsOutOfDate if the refunds would exceed the charge: an earlier refund must have failed at the processor.
 */
export async function settleRefund(
  tx: Tx,
  chargeId: string,
  reported: PaymentEnd,
  { accountId, id }: Pick<Intent, 'accountId' | 'id'>,
): Promise<Refund> {
  const locked = await lockCharge(tx, accountId, chargeId);
  if (!locked) throw new Error(`${id} refunds ${chargeId}: there is no such charge`);
  const { charge: before, end } = await takeOver(tx, locked, id, reported);
  const refund = await endRefund(tx, accountId, id, end);
  if (refund.status === 'succeeded') {
    if (before.amount_refunded + refund.amount > before.amount)
      throw new RefundsOutOfDate(`${id} succeeded, but ${chargeId} has less than that left`);
    const charge = await addRefunded(tx, before, refund.amount);
    const object = chargeToWire(charge);
    await recordEvent(tx, { type: 'charge.refunded', cause: refund, object });
  } else {
    await recordFailed(tx, refund);
  }
  return refund;
}

/**
 * The same refund may already be booked as made at the processor: its ids were removed there, and ours was not pending
 * here, for example after a restore. Our row takes over its reference and its end; the amount counts once. The caller
 * holds the charge's lock.
 */
async function takeOver(
  tx: Tx,
  charge: Charge,
  id: string,
  end: PaymentEnd,
): Promise<{ charge: Charge; end: PaymentEnd }> {
  const { account_id } = charge;
  if (end.reference === null) return { charge, end };
  const booked = await findRefundByReference(tx, account_id, end.reference);
  const isForeign = booked?.id === foreignRefundId(account_id, end.reference);
  if (!booked || booked.id === id || !isForeign) return { charge, end };
  const released = await releaseReference(tx, booked, COUNTED_ELSEWHERE);
  if (booked.status === 'failed') {
    const failureCode = booked.failure_code ?? 'failed';
    return {
      charge,
      end: { status: 'failed', failureCode, declineCode: null, reference: end.reference },
    };
  }
  await recordFailed(tx, released);
  return { charge: await addRefunded(tx, charge, -booked.amount), end };
}

/**
 * A succeeded refund failed later: the bank returned the money, and its amount can be refunded again. A refund that we
 * owed is parked as well, because nothing asks for it again: the same card would probably fail again, and the job of
 * the canceled order is done. An operator refunds it with a new key, or pays the customer another way.
 * @param end the processor's failure, with its reference for the refund.
 * @returns the line for the log, if we owed it; undefined if it had not succeeded, or was reversed before.
 */
export async function reverseRefund(
  tx: Tx,
  { account_id, charge_id, id }: Pick<Refund, 'account_id' | 'charge_id' | 'id'>,
  { reference, failureCode }: { reference: string; failureCode: string },
): Promise<{ alarm?: string } | undefined> {
  const charge = await lockCharge(tx, account_id, charge_id);
  const refund = await reverseSucceeded(tx, { account_id, id }, reference, failureCode);
  if (!charge || !refund) return undefined;
  await addRefunded(tx, charge, -refund.amount);
  await recordFailed(tx, refund);
  if (refund.cause === null) return {};
  const { amount, currency } = refund;
  const parked = await parkPayment(tx, {
    account_id,
    processor_reference: reference,
    charge_id,
    amount,
    currency,
    reason: 'owed_refund_failed' satisfies RefundDiscrepancy,
  });
  const before = `${id}, which we owed, failed after it had succeeded; ${reference} was parked before, a person must look`;
  return { alarm: parked ?? before };
}

async function recordFailed(tx: Tx, refund: Refund): Promise<void> {
  await recordEvent(tx, { type: 'refund.failed', cause: refund, object: refundToWire(refund) });
}

/** The stored answer of an ended refund, from its row alone. */
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
