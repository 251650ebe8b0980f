import type { Charge } from '../charges/charge.entity.js';
import type { PaymentEnd } from '../charges/charge.queries.js';
import type { Queryable, Tx } from '../database/database.js';
import type { Processor } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';

export const REFUND_COLUMNS = `account_id, id, charge_id, status, amount, currency, reason, cause, failure_code, processor,
  processor_parameters, processor_reference, reversed_at, created_at`;

export async function findRefund(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<Refund | undefined> {
  const rows = await db.query<Refund>(
    `SELECT ${REFUND_COLUMNS} FROM refunds WHERE account_id = $1 AND id = $2`,
    [accountId, id],
  );
  return rows[0];
}

/** @param reference the processor's id of the refund. */
export async function findRefundByReference(
  db: Queryable,
  accountId: string,
  reference: string,
): Promise<Refund | undefined> {
  const rows = await db.query<Refund>(
    `SELECT ${REFUND_COLUMNS} FROM refunds WHERE account_id = $1 AND processor_reference = $2`,
    [accountId, reference],
  );
  return rows[0];
}

/** @returns the refund with its age in ms, measured by the database. */
export async function findPendingRefund(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<(Refund & { age_ms: number }) | undefined> {
  const rows = await db.query<Refund & { age_ms: number }>(
    `SELECT ${REFUND_COLUMNS}, (EXTRACT(EPOCH FROM clock_timestamp() - created_at) * 1000)::float8 AS age_ms
     FROM refunds WHERE account_id = $1 AND id = $2 AND status = 'pending'`,
    [accountId, id],
  );
  return rows[0];
}

/** The refunds in flight of a charge, oldest first. The caller holds the charge's lock, so that none is added. */
export async function listPendingRefunds(
  tx: Tx,
  accountId: string,
  chargeId: string,
): Promise<Refund[]> {
  return tx.query(
    `SELECT ${REFUND_COLUMNS} FROM refunds
     WHERE account_id = $1 AND charge_id = $2 AND status = 'pending' ORDER BY created_at, id`,
    [accountId, chargeId],
  );
}

/**
 * The refunds for a cause, in the order in which they were made: `cause`, then `cause#2` after a refusal, and so on.
 */
export async function findRefundsOfCause(
  db: Queryable,
  accountId: string,
  chargeId: string,
  cause: string,
): Promise<Refund[]> {
  return db.query(
    `SELECT ${REFUND_COLUMNS} FROM refunds
     WHERE account_id = $1 AND charge_id = $2 AND split_part(cause, '#', 1) = $3
     ORDER BY length(cause), cause`,
    [accountId, chargeId, cause],
  );
}

/**
 * Writes the pending refund with its exact parameters for the processor. The caller holds the charge's lock.
 * @param rebuiltFrom only for a refund rebuilt from the processor's ledger: when the processor made it.
 * @returns undefined if the id or the cause is taken: the refund exists.
 */
export async function insertPendingRefund(
  tx: Tx,
  processor: Processor,
  charge: Charge,
  { id, amount, reason, cause }: Pick<Refund, 'id' | 'amount' | 'reason' | 'cause'>,
  rebuiltFrom?: Date,
): Promise<Refund | undefined> {
  const { account_id, id: charge_id, currency, processor_reference: payment_intent } = charge;
  if (payment_intent === null) throw new Error(`${charge_id} took no money`);
  const metadata = { refund: id, charge: charge_id, account: account_id };
  const rows = await tx.query<Refund>(
    `INSERT INTO refunds (account_id, id, charge_id, status, amount, currency, reason, processor, processor_parameters,
       cause, created_at, rebuilt_at)
     VALUES ($1, $2, $3, 'pending', $4, $5, $6, $7, $8, $9,
       COALESCE($10::timestamptz, now()), CASE WHEN $10::timestamptz IS NOT NULL THEN now() END)
     ON CONFLICT DO NOTHING RETURNING ${REFUND_COLUMNS}`,
    [
      account_id,
      id,
      charge_id,
      amount,
      currency,
      reason,
      charge.processor,
      processor.prepareRefund({ payment_intent, amount, metadata }),
      cause,
      rebuiltFrom ?? null,
    ],
  );
  return rows[0];
}

/** Ends a pending refund. Throws if it is not pending, so that the transaction rolls back. */
export async function endRefund(
  tx: Tx,
  accountId: string,
  id: string,
  end: PaymentEnd,
): Promise<Refund> {
  const rows = await tx.query<Refund>(
    `UPDATE refunds SET status = $3, processor_reference = $4, failure_code = $5, settled_at = now()
     WHERE account_id = $1 AND id = $2 AND status = 'pending' RETURNING ${REFUND_COLUMNS}`,
    [accountId, id, end.status, end.reference, end.status === 'failed' ? end.failureCode : null],
  );
  if (!rows[0]) throw new Error(`${id} is not pending: it cannot end as ${end.status}`);
  return rows[0];
}

/**
 * Removes the processor's reference from a row, because the reference belongs to another refund. Fails the row if it
 * had succeeded.
 */
export async function releaseReference(
  tx: Tx,
  { account_id, id }: Pick<Refund, 'account_id' | 'id'>,
  failureCode: string,
): Promise<Refund> {
  const rows = await tx.query<Refund>(
    `UPDATE refunds SET status = 'failed', processor_reference = NULL, failure_code = COALESCE(failure_code, $3),
       reversed_at = CASE WHEN status = 'succeeded' THEN now() ELSE reversed_at END
     WHERE account_id = $1 AND id = $2 RETURNING ${REFUND_COLUMNS}`,
    [account_id, id, failureCode],
  );
  if (!rows[0]) throw new Error(`${id} is gone`);
  return rows[0];
}

/**
 * Fails a refund that had succeeded with this reference of the processor.
 * @returns undefined if it has not succeeded with this reference; then nothing changes.
 */
export async function reverseSucceeded(
  tx: Tx,
  { account_id, id }: Pick<Refund, 'account_id' | 'id'>,
  reference: string,
  failureCode: string,
): Promise<Refund | undefined> {
  const rows = await tx.query<Refund>(
    `UPDATE refunds SET status = 'failed', failure_code = $4, reversed_at = now()
     WHERE account_id = $1 AND id = $2 AND processor_reference = $3 AND status = 'succeeded' RETURNING ${REFUND_COLUMNS}`,
    [account_id, id, reference, failureCode],
  );
  return rows[0];
}
