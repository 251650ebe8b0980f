import { eventValues, insertEvents, type NewEvent } from '../events/events.js';
import type { Write } from '../idempotency/operation.js';
import type { Database, Queryable, Tx } from '../database/database.js';
import type { Charge } from './charge.entity.js';

export const CHARGE_COLUMNS = `account_id, id, status, amount, amount_refunded, currency, payment_method, description,
  receipt_email, order_id, metadata, failure_code, decline_code, processor, processor_parameters,
  processor_reference, created_at`;

export type NewCharge = Omit<
  Charge,
  | 'status'
  | 'amount_refunded'
  | 'failure_code'
  | 'decline_code'
  | 'processor_reference'
  | 'created_at'
>;

const NEW_COLUMNS = `account_id, id, amount, currency, payment_method, description, receipt_email, order_id, metadata,
  processor, processor_parameters, status`;

function newValues(charge: NewCharge): unknown[] {
  return [
    charge.amount,
    charge.currency,
    charge.payment_method,
    charge.description,
    charge.receipt_email,
    charge.order_id,
    JSON.stringify(charge.metadata),
    charge.processor,
    charge.processor_parameters,
  ];
}

const NEW_VALUES = `$1::bigint, $2, $3, $4, $5, $6, $7::json, $8, $9, 'pending'`;

/** The insert as one part of the statement that writes the record. Record and charge get the same time. */
export function writePendingCharge(charge: NewCharge): Write {
  return { sql: WRITE_PENDING, values: newValues(charge) };
}

const WRITE_PENDING = `object AS (
  INSERT INTO charges (${NEW_COLUMNS}, created_at)
  SELECT account_id, resource_id, ${NEW_VALUES}, first_seen_at FROM record RETURNING id)`;

/** The row that `writePendingCharge` inserts, without a query. */
export function pendingCharge(charge: NewCharge, createdAt: Date): Charge {
  return {
    ...charge,
    status: 'pending',
    amount_refunded: 0,
    failure_code: null,
    decline_code: null,
    processor_reference: null,
    created_at: createdAt,
  };
}

/**
 * Waits for a concurrent transaction that has inserted the same id or the same order.
 * @returns undefined if the id is taken (this intent has its charge already), or the order has a live charge.
 */
export async function insertPendingCharge(tx: Tx, charge: NewCharge): Promise<Charge | undefined> {
  const rows = await tx.query<Charge>(
    `INSERT INTO charges (${NEW_COLUMNS}) VALUES ($10, $11, ${NEW_VALUES})
     ON CONFLICT DO NOTHING RETURNING ${CHARGE_COLUMNS}`,
    [...newValues(charge), charge.account_id, charge.id],
  );
  return rows[0];
}

export async function findCharge(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<Charge | undefined> {
  const rows = await db.query<Charge>(
    `SELECT ${CHARGE_COLUMNS} FROM charges WHERE account_id = $1 AND id = $2`,
    [accountId, id],
  );
  return rows[0];
}

/**
 * Finds the succeeded charge of a payment, in any account: events about dashboard refunds contain no account id.
 * @param reference the processor's id of the payment.
 */
export async function findChargePaidBy(
  db: Database,
  processor: string,
  reference: string,
): Promise<Charge | undefined> {
  const rows = await db.query<Charge>(
    `SELECT ${CHARGE_COLUMNS} FROM charges
     WHERE processor_reference = $2 AND processor = $1 AND status = 'succeeded'`,
    [processor, reference],
  );
  return rows[0];
}

/** @returns the id of the rebuilt charge that paid the order, if the order does not show this. */
export async function findChargeOfLostOrder(
  tx: Tx,
  accountId: string,
  orderId: string,
): Promise<string | undefined> {
  const rows = await tx.query<{ id: string }>(
    // The unique index of live charges has this expression. A row with a `lost_order_id` has no `order_id` (CHECK).
    `SELECT id FROM charges WHERE account_id = $1 AND COALESCE(order_id, lost_order_id) = $2
       AND lost_order_id IS NOT NULL AND status = 'succeeded'`,
    [accountId, orderId],
  );
  return rows[0]?.id;
}

// Look pending charges up by primary key and `settled_at IS NULL` (a CHECK ties it to the status). With `status =
// 'pending'` PostgreSQL would scan the partial index of live charges. Proof: test/operation/plans.spec.ts.

/** @returns the charge with its age in ms, measured by the database. */
export async function findPendingCharge(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<(Charge & { age_ms: number }) | undefined> {
  const rows = await db.query<Charge & { age_ms: number }>(
    `SELECT ${CHARGE_COLUMNS},
       (EXTRACT(EPOCH FROM clock_timestamp() - created_at) * 1000)::float8 AS age_ms
     FROM charges WHERE account_id = $1 AND id = $2 AND settled_at IS NULL`,
    [accountId, id],
  );
  return rows[0];
}

/** How a charge or a refund has ended. */
export type PaymentEnd =
  | { status: 'succeeded'; reference: string }
  | { status: 'failed'; failureCode: string; declineCode: string | null; reference: string | null };

/** The values in the order of the parameters of `END`. */
function columnsOf(end: PaymentEnd) {
  const failed = end.status === 'failed' ? end : undefined;
  return {
    status: end.status,
    processor_reference: end.reference,
    failure_code: failed?.failureCode ?? null,
    decline_code: failed?.declineCode ?? null,
  };
}

/** The row after `writeChargeEnd`, without a query. */
export function endedCharge(charge: Charge, end: PaymentEnd): Charge {
  return { ...charge, ...columnsOf(end) };
}

const END = `UPDATE charges
  SET status = $1, processor_reference = $2, failure_code = $3, decline_code = $4, settled_at = now()`;

/** Ends a pending charge and writes its event, as parts of the statement that completes the record. */
export function writeChargeEnd(end: PaymentEnd, event: NewEvent): Write {
  const { account_id, id } = event.cause;
  return {
    sql: WRITE_END,
    values: [...Object.values(columnsOf(end)), ...eventValues(event), account_id, id],
  };
}

const WRITE_END = `object AS (
  ${END} FROM record
  WHERE charges.account_id = $9 AND charges.id = $10 AND settled_at IS NULL
  RETURNING charges.account_id
), event AS (${insertEvents('object', 5)})`;

/** Ends a pending charge. Throws if it is not pending, so that the transaction rolls back. */
export async function endCharge(
  tx: Tx,
  accountId: string,
  id: string,
  end: PaymentEnd,
): Promise<Charge> {
  const rows = await tx.query<Charge>(
    `${END} WHERE account_id = $5 AND id = $6 AND settled_at IS NULL RETURNING ${CHARGE_COLUMNS}`,
    [...Object.values(columnsOf(end)), accountId, id],
  );
  if (!rows[0]) throw new Error(`${id} is not pending: it cannot end as ${end.status}`);
  return rows[0];
}

/** Locks a charge. Serialises all writes about it and its refunds. */
export async function lockCharge(
  tx: Tx,
  accountId: string,
  id: string,
): Promise<Charge | undefined> {
  const rows = await tx.query<Charge>(
    `SELECT ${CHARGE_COLUMNS} FROM charges WHERE account_id = $1 AND id = $2 FOR UPDATE`,
    [accountId, id],
  );
  return rows[0];
}

/**
 * Adds to the refunded amount; a negative amount removes a refund that failed. A CHECK keeps it between 0 and the
 * charge's amount.
 */
export async function addRefunded(tx: Tx, charge: Charge, amount: number): Promise<Charge> {
  const rows = await tx.query<Charge>(
    `UPDATE charges SET amount_refunded = amount_refunded + $3 WHERE account_id = $1 AND id = $2
     RETURNING ${CHARGE_COLUMNS}`,
    [charge.account_id, charge.id, amount],
  );
  if (!rows[0]) throw new Error(`${charge.id} is gone`);
  return rows[0];
}
