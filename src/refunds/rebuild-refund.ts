import type { Charge } from '../charges/charge.entity.js';
import { lockCharge } from '../charges/charge.queries.js';
import { deriveId } from '../idempotency/identity.js';
import type { Tx } from '../platform/database.js';
import type { PaidRefund, Processor } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';
import { insertPendingRefund, type RefundEnd } from './refund.queries.js';
import { settleRefund } from './settle-refund.js';

/** A refund that names one of ours. */
export type OurRefund = PaidRefund & { refund: string; charge: string; account: string };

/** Whether a refund names one that we could have made. */
export function isOurRefund(paid: PaidRefund): paid is OurRefund {
  const { refund, charge, account } = paid;
  return account !== undefined && isId('ch', charge) && isId('re', refund);
}

/** The shape of a derived id: see src/idempotency/identity.ts. */
export function isId(prefix: string, text: string | undefined): boolean {
  return text !== undefined && new RegExp(`^${prefix}_[0-9a-v]{32}$`).test(text);
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

/** The id of a refund that names none of ours: the processor's reference names it. */
export function foreignRefundId(accountId: string, reference: string): string {
  return deriveId('re', accountId, 'made at the processor', reference);
}

/**
 * Makes the row of a refund that somebody made at the processor's own desk. It is a fact: a refund of ours that is on
 * its way does not stand in its way, because the processor refuses the one that comes second.
 * @param end how it ended there. One that failed is written down as well, so that a late notification of its success
 *   finds it ended.
 * @returns undefined if it was there, or does not fit its charge.
 */
export async function bookForeignRefund(
  tx: Tx,
  processor: Processor,
  { account_id, id: charge_id }: Pick<Charge, 'account_id' | 'id'>,
  paid: Pick<PaidRefund, 'reference' | 'amount' | 'currency' | 'createdAt'>,
  end: RefundEnd,
): Promise<Refund | undefined> {
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
