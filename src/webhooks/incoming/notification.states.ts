import type { Logger } from '@nestjs/common';
import { parkPayment, type Discrepancy } from '../../charges/parked-payments.js';
import type { RefundDiscrepancy } from '../../refunds/parked-refunds.js';
import type { Tx } from '../../database/database.js';
import type { Notification, Processor } from '../../processor/processor.js';

/**
 * | state | means | moved on by |
 * |---|---|---|
 * | `waiting` | its charge or refund does not exist yet | the worker; after 30 days parked (object exists) or removed |
 * | `applied` | the object has ended, by this notification or another writer | removed after 30 days |
 * | `parked` | it contradicts our books, or could not be applied for 30 days; a row of `parked_payments` says why | an operator resolves that row (`npm run jobs -- resolve`) |
 */
export type State = 'applied' | 'waiting' | 'parked';

export function discrepancyOfTerms(
  processor: Processor,
  ours: { processor: string; amount: number; currency: string },
  { amount, currency }: Notification,
): Discrepancy | undefined {
  if (ours.processor !== processor.name) return 'another_processor';
  return ours.amount === amount && ours.currency === currency ? undefined : 'amount_mismatch';
}

/** Parks a notification that contradicts our books, for an operator. It is never applied and never dropped. */
export async function parkNotification(
  tx: Tx,
  notification: Notification,
  reason: Discrepancy | RefundDiscrepancy,
  log: Logger,
): Promise<State> {
  const { account, charge, reference, amount, currency } = notification;
  const line = await parkPayment(tx, {
    account_id: account,
    charge_id: charge,
    processor_reference: reference,
    amount,
    currency,
    reason,
  });
  if (line) log.error(line);
  return 'parked';
}
