import type { Queryable, Tx } from '../database/database.js';
import type { Charge } from './charge.entity.js';
import { findCharge } from './charge.queries.js';

/** Why money moved that our books do not account for. */
export type Discrepancy =
  | 'succeeded_after_failed'
  | 'second_payment'
  | 'amount_mismatch'
  | 'another_processor'
  | 'refund_succeeded_after_failed'
  | 'second_refund'
  | 'owed_refund_failed'
  | 'never_applied';

/** A row of `parked_payments`: for a person to look at, never applied, never deleted. */
export interface ParkedPayment {
  account_id: string;
  /** Of the payment, or of the refund. */
  processor_reference: string;
  charge_id: string;
  amount: number;
  currency: string;
  reason: Discrepancy;
}

/** Why a charge that has ended does not account for a payment that succeeded; undefined if it does. */
export function discrepancyOf(charge: Charge, reference: string): Discrepancy | undefined {
  if (charge.status === 'failed') return 'succeeded_after_failed';
  return charge.processor_reference === reference ? undefined : 'second_payment';
}

/**
 * Whether money may have moved for something of a charge although our books say that it failed: then nobody may be
 * sent for another attempt. (A row of a refund names its charge only; a refund may be taken for its neighbour here.)
 * A row that a person has resolved counts too: the money has moved all the same.
 * @param reasons those that are about the payment, or about refunds.
 */
export async function isAnythingParked(
  db: Queryable,
  accountId: string,
  chargeId: string,
  reasons: readonly Discrepancy[],
): Promise<boolean> {
  const rows = await db.query(
    `SELECT 1 FROM parked_payments WHERE account_id = $1 AND charge_id = $2 AND reason = ANY($3) LIMIT 1`,
    [accountId, chargeId, reasons],
  );
  return rows.length > 0;
}

/**
 * Keeps what does not fit; once, however often it is reported.
 * @returns the line for the log, if it was parked now.
 */
export async function parkPayment(tx: Tx, payment: ParkedPayment): Promise<string | undefined> {
  const { account_id, processor_reference, charge_id, amount, currency, reason } = payment;
  const rows = await tx.query(
    `INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING reason`,
    [account_id, processor_reference, charge_id, amount, currency, reason],
  );
  const line = `${charge_id} does not account for ${processor_reference} (${reason})`;
  if (rows.length > 0) return `${line}: parked, a person must look`;
  const resolution = await reopen(tx, payment);
  return resolution && `${line}: open again after "${resolution}", a person must look`;
}

/**
 * What a person has done about one reason is no answer to another. The same reason again is a repeated report.
 * @returns how it was resolved; undefined if it stays as it is.
 */
async function reopen(tx: Tx, payment: ParkedPayment): Promise<string | undefined> {
  const { account_id, processor_reference, amount, currency, reason } = payment;
  const [row] = await tx.query<{ resolution: string }>(
    `SELECT resolution FROM parked_payments
     WHERE account_id = $1 AND processor_reference = $2 AND resolved_at IS NOT NULL AND reason <> $3
     FOR UPDATE`,
    [account_id, processor_reference, reason],
  );
  if (!row) return undefined;
  await tx.query(
    `UPDATE parked_payments
     SET resolved_at = NULL, resolution = NULL, reason = $3, amount = $4, currency = $5
     WHERE account_id = $1 AND processor_reference = $2`,
    [account_id, processor_reference, reason, amount, currency],
  );
  return row.resolution;
}

/** As `parkPayment`, for a payment that succeeded, unless its charge, which has ended, accounts for it. */
export async function parkUnlessAccountedFor(
  tx: Tx,
  { account_id, id: charge_id }: Pick<Charge, 'account_id' | 'id'>,
  processor_reference: string,
): Promise<string | undefined> {
  const charge = await findCharge(tx, account_id, charge_id);
  const reason = charge && discrepancyOf(charge, processor_reference);
  if (!reason) return undefined;
  const { amount, currency } = charge;
  const payment = { account_id, processor_reference, charge_id, amount, currency, reason };
  return parkPayment(tx, payment);
}
