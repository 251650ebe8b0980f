import type { Charge } from '../charges/charge.entity.js';
import { lockCharge } from '../charges/charge.queries.js';
import { deriveId } from '../idempotency/identity.js';
import type { Tx } from '../platform/database.js';
import type { PaidRefund, Processor } from '../processor/processor.js';
import { findRefundsOnTheirWay, insertPendingRefund } from './refund.queries.js';
import { settleRefund } from './settle-refund.js';

/** A succeeded refund that names one of ours. */
export type OurRefund = PaidRefund & { refund: string; charge: string; account: string };

/**
 * Makes the row of a refund that was lost, as `rebuildCharge` does for a charge.
 * @returns false if there is nothing to do, or if it does not fit its charge; the comparison then tells.
 */
export async function rebuildRefund(
  tx: Tx,
  processor: Processor,
  { account: accountId, charge: chargeId, refund: id, ...paid }: OurRefund,
): Promise<boolean> {
  const charge = await lockCharge(tx, accountId, chargeId);
  if (charge?.status !== 'succeeded' || charge.processor_reference === null) return false;
  const onTheirWay = await findRefundsOnTheirWay(tx, accountId, chargeId);
  const pending = onTheirWay.reduce((sum, { amount }) => sum + amount, 0);
  const fits =
    paid.currency === charge.currency &&
    charge.amount_refunded + pending + paid.amount <= charge.amount;
  if (!fits) return false;
  const refund = await insertPendingRefund(tx, {
    account_id: accountId,
    id,
    charge_id: chargeId,
    amount: paid.amount,
    currency: paid.currency,
    reason: null,
    cause: null,
    processor: charge.processor,
    processor_parameters: processor.prepareRefund({
      payment_intent: charge.processor_reference,
      amount: paid.amount,
      metadata: { refund: id, charge: chargeId, account: accountId },
    }),
    rebuiltFrom: paid.createdAt,
  });
  if (!refund) return false; // it was there all the time
  const end = { status: 'succeeded', reference: paid.reference } as const;
  await settleRefund(tx, chargeId, end, { accountId, id });
  return true;
}

/**
 * Makes the row of a refund that somebody made at the processor's own desk: it names none of ours, so that the
 * processor's reference names it. One that names a refund of ours is not touched: reconciliation looks after it.
 * @returns false if it was there, or does not fit its charge.
 */
export async function bookForeignRefund(
  tx: Tx,
  processor: Processor,
  { account_id: account, id: charge }: Charge,
  paid: PaidRefund,
): Promise<boolean> {
  if (paid.refund !== undefined) return false;
  const refund = deriveId('re', account, 'made at the processor', paid.reference);
  return rebuildRefund(tx, processor, { ...paid, account, charge, refund });
}
