import { parkPayment, type Discrepancy } from '../charges/parked-payments.js';
import type { Tx } from '../database/database.js';
import type { Refund } from './refund.entity.js';
import { findRefund, type RefundEnd } from './refund.queries.js';

/** How a refund that has ended contradicts an end that is told of it; undefined if it does not. */
export function refundDiscrepancyOf(refund: Refund, end: RefundEnd): Discrepancy | undefined {
  const same = refund.processor_reference === end.reference;
  if (end.status === 'failed') {
    return undefined; // it ends a pending one, reverses one that has succeeded, and adds nothing to one that has failed
  }
  if (refund.status === 'failed') return 'refund_succeeded_after_failed';
  return same ? undefined : 'second_refund';
}

/**
 * Keeps a refund that succeeded, unless ours, which has ended, accounts for it.
 * @returns the line for the log, if it was parked now.
 */
export async function parkRefundUnlessAccountedFor(
  tx: Tx,
  { account_id, id }: Pick<Refund, 'account_id' | 'id'>,
  end: RefundEnd & { status: 'succeeded' },
): Promise<string | undefined> {
  const refund = await findRefund(tx, account_id, id);
  const reason = refund && refundDiscrepancyOf(refund, end);
  if (!reason) return undefined;
  // It failed there afterwards, and that was told first. A refund never goes the other way.
  if (refund.status === 'failed' && refund.processor_reference === end.reference) return undefined;
  const { charge_id, amount, currency } = refund;
  const processor_reference = end.reference;
  return parkPayment(tx, { account_id, processor_reference, charge_id, amount, currency, reason });
}
