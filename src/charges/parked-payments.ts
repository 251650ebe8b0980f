import type { Queryable, Tx } from '../database/database.js';
import type { Charge } from './charge.entity.js';
import { findCharge } from './charge.queries.js';

/** Why the row of a charge or refund does not account for money that moved. Refunds have additional reasons. */
export type Discrepancy =
  | 'succeeded_after_failed'
  | 'second_payment'
  | 'amount_mismatch'
  | 'another_processor'
  | 'never_applied';

/** A row of `parked_payments`: money that needs an operator. Never applied to a charge, never deleted. */
export interface ParkedPayment {
  account_id: string;
  /** The processor's id of the payment or refund. */
  processor_reference: string;
  charge_id: string;
  amount: number;
  currency: string;
  /** A `Discrepancy`, or a reason that another module adds. */
  reason: string;
}

/** Why an ended charge does not account for a succeeded payment; undefined if it does. */
export function discrepancyOf(charge: Charge, reference: string): Discrepancy | undefined {
  if (charge.status === 'failed') return 'succeeded_after_failed';
  return charge.processor_reference === reference ? undefined : 'second_payment';
}

/**
 * Whether money may have moved for a charge or refund that our books call failed: then the API must not offer
 * `new_key`. Resolved rows count too, because that money moved. Rows contain only the charge's id, so a row about one
 * failed refund also counts for the other refunds of the charge.
 * @param reasons the reasons about the payment, or the reasons about refunds.
 */
export async function isAnythingParked(
  db: Queryable,
  accountId: string,
  chargeId: string,
  reasons: readonly string[],
): Promise<boolean> {
  const rows = await db.query(
    `SELECT 1 FROM parked_payments WHERE account_id = $1 AND charge_id = $2 AND reason = ANY($3) LIMIT 1`,
    [accountId, chargeId, reasons],
  );
  return rows.length > 0;
}

/**
 * Parks a payment or refund. Idempotent.
 * @returns the line for the log, if it was parked or opened again now.
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
 * Opens a resolved row again if a new reason arrives: the old resolution does not cover it. The same reason again is a
 * duplicate report.
 * @returns the old resolution; undefined if nothing changed.
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

/** Parks a succeeded payment, unless its ended charge accounts for it. */
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
