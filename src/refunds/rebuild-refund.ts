import type { Charge } from '../charges/charge.entity.js';
import { lockCharge } from '../charges/charge.queries.js';
import { isDerivedId } from '../idempotency/identity.js';
import type { Tx } from '../database/database.js';
import { Problem } from '../http/problems/problem.js';
import { PAYMENT_PENDING } from '../processor/processor.problems.js';
import type { PaidRefund, Processor } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';
import {
  findRefundByReference,
  findRefundsOnTheirWay,
  insertPendingRefund,
  type RefundEnd,
} from './refund.queries.js';
import { foreignRefundId, settleRefund } from './settle-refund.js';
import { linkTo } from '../http/resource-link.js';

/** A refund that names one of ours. */
export type OurRefund = PaidRefund & { refund: string; charge: string; account: string };

/** Whether a refund names one that we could have made. */
export function isOurRefund(paid: PaidRefund): paid is OurRefund {
  const { refund, charge, account } = paid;
  return account !== undefined && isDerivedId('ch', charge) && isDerivedId('re', refund);
}

/** How far the processor's clock may differ from the database's, in ms. */
const CLOCK_SKEW_MS = 300_000;

/**
 * Whether a refund that names none of ours may be this one of ours, whose names were edited away at the processor's
 * desk: it is of the same amount, and not older.
 */
export function mayBe(
  refund: Refund,
  { amount, createdAt }: Pick<PaidRefund, 'amount' | 'createdAt'>,
): boolean {
  return (
    amount === refund.amount && createdAt.getTime() >= refund.created_at.getTime() - CLOCK_SKEW_MS
  );
}

/**
 * A refund that names none of ours may be one of ours that is pending. Its holder or the sweep ends that one; until
 * then the processor sends its notification again.
 */
export class RefundUndecided extends Problem {
  constructor(pending: Refund) {
    super(PAYMENT_PENDING, `${pending.id}, of the same amount, has not ended yet.`, {
      extensions: { resource: linkTo('refund', pending.id) },
      headers: { 'Retry-After': '1' },
    });
  }
}

/**
 * Makes the row of a succeeded refund that was lost, as `rebuildCharge` does for a charge.
 * @returns false if there is nothing to do, or if it does not fit its charge; the comparison then tells.
 */
export async function rebuildRefund(
  tx: Tx,
  processor: Processor,
  { account: account_id, charge: charge_id, refund: id, ...paid }: OurRefund,
): Promise<boolean> {
  const end = { status: 'succeeded', reference: paid.reference } as const;
  return (await writeEnded(tx, processor, { account_id, charge_id, id }, paid, end)) !== undefined;
}

/**
 * Makes the row of a refund that was made at the processor's own desk. It is a fact: a pending refund of ours of
 * another amount does not stand in its way, because the processor refuses the one that comes second.
 * @param end how it ended there. One that failed is written down as well, so that a late notification of its success
 *   finds it ended.
 * @param refused the refund of ours that the processor has just refused under its own key: it is not this one.
 * @returns undefined if it was there, or does not fit its charge.
 * @throws RefundUndecided while it may be a pending one of ours.
 */
export async function bookForeignRefund(
  tx: Tx,
  processor: Processor,
  { account_id, id: charge_id }: Pick<Charge, 'account_id' | 'id'>,
  paid: Pick<PaidRefund, 'reference' | 'amount' | 'currency' | 'createdAt'>,
  end: RefundEnd,
  refused?: string,
): Promise<Refund | undefined> {
  await lockCharge(tx, account_id, charge_id);
  if (await findRefundByReference(tx, account_id, paid.reference)) return undefined;
  const onTheirWay = await findRefundsOnTheirWay(tx, account_id, charge_id);
  const pending = onTheirWay.find((ours) => ours.id !== refused && mayBe(ours, paid));
  if (pending) throw new RefundUndecided(pending);
  const id = foreignRefundId(account_id, paid.reference);
  return writeEnded(tx, processor, { account_id, charge_id, id }, paid, end);
}

async function writeEnded(
  tx: Tx,
  processor: Processor,
  names: Pick<Refund, 'account_id' | 'charge_id' | 'id'>,
  paid: Pick<PaidRefund, 'amount' | 'currency' | 'createdAt'>,
  end: RefundEnd,
): Promise<Refund | undefined> {
  const { account_id, charge_id, id } = names;
  const charge = await lockCharge(tx, account_id, charge_id);
  if (charge?.status !== 'succeeded' || charge.processor_reference === null) return undefined;
  const left = charge.amount - (end.status === 'succeeded' ? charge.amount_refunded : 0);
  if (paid.currency !== charge.currency || paid.amount < 1 || paid.amount > left) return undefined;
  const refund = await insertPendingRefund(tx, {
    ...names,
    amount: paid.amount,
    currency: paid.currency,
    reason: null,
    cause: null,
    processor: charge.processor,
    processor_parameters: processor.prepareRefund({
      payment_intent: charge.processor_reference,
      amount: paid.amount,
      metadata: { refund: id, charge: charge_id, account: account_id },
    }),
    rebuiltFrom: paid.createdAt,
  });
  if (!refund) return undefined; // it was there all the time
  return settleRefund(tx, charge_id, end, { accountId: account_id, id });
}
