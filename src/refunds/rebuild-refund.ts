import type { Charge } from '../charges/charge.entity.js';
import { lockCharge, type PaymentEnd } from '../charges/charge.queries.js';
import { isDerivedId } from '../idempotency/identity.js';
import type { Tx } from '../database/database.js';
import { Problem } from '../http/problems/problem.js';
import { PAYMENT_PENDING } from '../processor/processor.problems.js';
import type { PaidRefund, Processor } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';
import {
  findRefundByReference,
  listPendingRefunds,
  insertPendingRefund,
} from './refund.queries.js';
import { foreignRefundId, settleRefund } from './settle-refund.js';
import { linkTo } from '../http/resource-link.js';

/** A refund whose metadata names one of ours. */
export type OurRefund = PaidRefund & { refund: string; charge: string; account: string };

/** Whether a refund names one that we could have made. Other programs may use the same metadata keys. */
export function isOurRefund(paid: PaidRefund): paid is OurRefund {
  const { refund, charge, account } = paid;
  return account !== undefined && isDerivedId('ch', charge) && isDerivedId('re', refund);
}

/**
 * How far the processor's clock may differ from the database's, in ms. Smaller: a refund of ours may count as a foreign
 * one.
 */
const CLOCK_SKEW_MS = 300_000;

/**
 * Whether a refund without our ids may be this refund of ours: a person can remove the ids at the processor. True if it
 * has the same amount and is not older.
 */
export function mayBeSame(
  refund: Refund,
  { amount, createdAt }: Pick<PaidRefund, 'amount' | 'createdAt'>,
): boolean {
  return (
    amount === refund.amount && createdAt.getTime() >= refund.created_at.getTime() - CLOCK_SKEW_MS
  );
}

/**
 * A refund without our ids may be one of our pending refunds. The lease holder or the sweep ends the pending one; until
 * then the processor repeats its notification.
 */
export class RefundUndecided extends Problem {
  constructor(pending: Refund) {
    super(PAYMENT_PENDING, `${pending.id}, of the same amount, has not ended yet.`, {
      extensions: { resource: linkTo('refund', pending.id) },
    });
  }
}

/**
 * Writes the row of a lost refund that succeeded, as `rebuildCharge` does for a charge.
 * @returns false if the row exists or does not fit its charge. The comparison with the processor reports the latter.
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
 * Writes the row of a refund that was made at the processor, not through this API. A pending refund of ours with
 * another amount does not block it: the processor refuses the second of the two.
 * @param end how it ended there. A failed one is written too, so that a late notification of its success finds it
 *   ended.
 * @param refused our refund that the processor has just refused under its own key. The one to book is another refund.
 * @returns undefined if the row exists, or does not fit its charge.
 * @throws RefundUndecided while it may be one of our pending refunds.
 */
export async function bookForeignRefund(
  tx: Tx,
  processor: Processor,
  { account_id, id: charge_id }: Pick<Charge, 'account_id' | 'id'>,
  paid: Pick<PaidRefund, 'reference' | 'amount' | 'currency' | 'createdAt'>,
  end: PaymentEnd,
  refused?: string,
): Promise<Refund | undefined> {
  await lockCharge(tx, account_id, charge_id);
  if (await findRefundByReference(tx, account_id, paid.reference)) return undefined;
  const inFlight = await listPendingRefunds(tx, account_id, charge_id);
  const pending = inFlight.find((ours) => ours.id !== refused && mayBeSame(ours, paid));
  if (pending) throw new RefundUndecided(pending);
  const id = foreignRefundId(account_id, paid.reference);
  return writeEnded(tx, processor, { account_id, charge_id, id }, paid, end);
}

async function writeEnded(
  tx: Tx,
  processor: Processor,
  { account_id, charge_id, id }: Pick<Refund, 'account_id' | 'charge_id' | 'id'>,
  paid: Pick<PaidRefund, 'amount' | 'currency' | 'createdAt'>,
  end: PaymentEnd,
): Promise<Refund | undefined> {
  const charge = await lockCharge(tx, account_id, charge_id);
  if (charge?.status !== 'succeeded') return undefined;
  const left = charge.amount - (end.status === 'succeeded' ? charge.amount_refunded : 0);
  if (paid.currency !== charge.currency || paid.amount < 1 || paid.amount > left) return undefined;
  const terms = { id, amount: paid.amount, reason: null, cause: null };
  const refund = await insertPendingRefund(tx, processor, charge, terms, paid.createdAt);
  if (!refund) return undefined; // it exists already
  return settleRefund(tx, charge_id, end, { accountId: account_id, id });
}
