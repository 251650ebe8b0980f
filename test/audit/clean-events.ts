import type { Database } from '../../src/idempotency/database.js';

/** One event for each outcome so far. */
export async function writeEvents(db: Database, account: string): Promise<void> {
  await db.query(
    `INSERT INTO events (account_id, id, type, cause, data, relayed_at)
     SELECT account_id, 'evt_' || type || '_' || id, type, id, json_build_object('object', object), now() FROM (
       SELECT account_id, id, 'charge.' || status AS type,
         json_build_object('order', order_id, 'receipt_email', receipt_email) AS object
       FROM charges WHERE status <> 'pending'
       UNION ALL SELECT account_id, id, 'charge.refunded', '{}' FROM refunds WHERE status = 'succeeded'
       UNION ALL SELECT account_id, id, 'refund.failed', '{}' FROM refunds WHERE status = 'failed'
       UNION ALL SELECT account_id, id, 'order.paid', '{}' FROM orders WHERE status <> 'open'
       UNION ALL SELECT account_id, id, 'order.canceled', '{}' FROM orders WHERE status = 'canceled'
       UNION ALL SELECT account_id, id, 'fulfillment.created', '{}' FROM fulfillments) AS outcome
     WHERE account_id = $1`,
    [account],
  );
}

/** The processor's notifications: applied ones, a parked one with another amount, and one that comes early. */
export async function receiveNotifications(db: Database, account: string): Promise<void> {
  await db.query(
    `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact)
     SELECT 'sandbox', 'evt_' || name || '_' || $1, 'type', $1, charge, refund, state,
       json_build_object('reference', reference, 'answer', json_build_object('kind', kind))
     FROM (
       SELECT id AS name, id AS charge, NULL AS refund, 'applied' AS state, processor_reference AS reference,
         CASE status WHEN 'succeeded' THEN 'succeeded' ELSE 'declined' END AS kind
       FROM charges WHERE account_id = $1 AND status <> 'pending' AND order_id IS NULL
       UNION ALL SELECT id, charge_id, id, 'applied', processor_reference, 'succeeded'
       FROM refunds WHERE account_id = $1 AND status = 'succeeded'
       UNION ALL SELECT 'mismatch', id, NULL, 'parked', 'pi_mismatch', 'succeeded'
       FROM charges WHERE account_id = $1 AND status = 'pending' AND order_id IS NULL
       UNION ALL SELECT 'early', 'ch_absent', NULL, 'waiting', 'pi_early', 'succeeded') AS notification`,
    [account],
  );
  await db.query(
    `INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason,
       resolved_at, resolution)
     SELECT account_id, 'pi_mismatch', id, 1, 'eur', 'amount_mismatch', now(), 'refunded'
     FROM charges WHERE account_id = $1 AND status = 'pending' AND order_id IS NULL`,
    [account],
  );
}
