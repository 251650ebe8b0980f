import type { PaymentEnd } from '../charges/charge.queries.js';
import { parkPayment } from '../charges/parked-payments.js';
import type { Tx } from '../database/database.js';
import type { Refund } from './refund.entity.js';
import { findRefund } from './refund.queries.js';

/** Why our books do not account for a refund at the processor. */
export type RefundDiscrepancy =
  'refund_succeeded_after_failed' | 'second_refund' | 'owed_refund_failed';

/** Like `WHAT_TO_DO`, for parked refunds. */
export const WHAT_TO_DO_ABOUT_REFUNDS: Record<RefundDiscrepancy, string> = {
  refund_succeeded_after_failed: 'the customer was refunded, our refund failed: do not repeat it',
  second_refund: 'the customer was refunded a second time: nothing here counts that refund',
  owed_refund_failed: 'the customer was NOT refunded: refund with a new key, or pay another way',
};

/** How an ended refund contradicts an end that the processor reports; undefined if it does not. */
export function refundDiscrepancyOf(
  refund: Refund,
  end: PaymentEnd,
): RefundDiscrepancy | undefined {
  // A failure ends a pending refund, reverses a succeeded one, and changes no failed one.
  if (end.status === 'failed') return undefined;
  if (refund.status === 'failed') return 'refund_succeeded_after_failed';
  return refund.processor_reference === end.reference ? undefined : 'second_refund';
}

/**
 * Parks a succeeded refund, unless our ended refund accounts for it.
 * @returns the line for the log, if it was parked now.
 */
export async function parkRefundUnlessAccountedFor(
  tx: Tx,
  { account_id, id }: Pick<Refund, 'account_id' | 'id'>,
  end: PaymentEnd & { status: 'succeeded' },
): Promise<string | undefined> {
  const refund = await findRefund(tx, account_id, id);
  const reason = refund && refundDiscrepancyOf(refund, end);
  if (!reason) return undefined;
  // The failure came after this success but was reported first. At the processor a refund never goes from failed to
  // succeeded.
  if (refund.status === 'failed' && refund.processor_reference === end.reference) return undefined;
  const { charge_id, amount, currency } = refund;
  const processor_reference = end.reference;
  return parkPayment(tx, { account_id, processor_reference, charge_id, amount, currency, reason });
}
