/** A fault that a constraint refuses, so no query of the audit looks for it. */
export interface RefusedFault {
  what: string;
  /** As `table.constraint`, or `INDEX name`. */
  refusedBy: string;
  sql: string;
}

const CHARGE = 'UPDATE charges SET';
const REFUND = 'UPDATE refunds SET';
const RECORD = 'UPDATE idempotency_records SET';

const CHARGES_AND_REFUNDS = [
  ['charges', CHARGE, '$id', '$failed', '$pending'],
  ['refunds', REFUND, '$refund', '$refundFailed', '$refundPending'],
].flatMap(([table, update, succeeded, failed, pending]) => [
  {
    what: `a success in ${table} without the processor's reference`,
    refusedBy: `${table}.${table}_succeeded_has_processor_reference`,
    sql: `${update} processor_reference = NULL WHERE id = '${succeeded}'`,
  },
  {
    what: `an unknown status in ${table}`,
    refusedBy: `${table}.${table}_status_is_known`,
    sql: `${update} status = 'paid' WHERE id = '${succeeded}'`,
  },
  {
    what: `a success in ${table} with a failure code`,
    refusedBy: `${table}.${table}_failed_has_failure_code`,
    sql: `${update} failure_code = 'card_declined' WHERE id = '${succeeded}'`,
  },
  {
    what: `a failure in ${table} without a failure code`,
    refusedBy: `${table}.${table}_failed_has_failure_code`,
    sql: `${update} failure_code = NULL WHERE id = '${failed}'`,
  },
  {
    what: `a pending row in ${table} that is settled`,
    refusedBy: `${table}.${table}_pending_is_not_settled`,
    sql: `${update} settled_at = now() WHERE id = '${pending}'`,
  },
]);

/** What the audit leaves to constraints.sql. */
export const REFUSED_FAULTS: readonly RefusedFault[] = [
  ...CHARGES_AND_REFUNDS,
  {
    what: 'a completed record without its whole answer',
    refusedBy: 'idempotency_records.idempotency_records_completed_has_its_answer',
    sql: `${RECORD} expires_at = NULL WHERE resource_id = '$id'`,
  },
  {
    what: 'a record in progress with an answer',
    refusedBy: 'idempotency_records.idempotency_records_completed_has_its_answer',
    sql: `${RECORD} response_body = '{}' WHERE resource_id = '$pending'`,
  },
  {
    what: 'a completed record with a lease',
    refusedBy: 'idempotency_records.idempotency_records_completed_has_no_lease',
    sql: `${RECORD} lease_expires_at = now() WHERE resource_id = '$id'`,
  },
  {
    what: 'two records of one key',
    refusedBy: 'idempotency_records.idempotency_records_pkey',
    sql: `INSERT INTO idempotency_records SELECT * FROM idempotency_records WHERE resource_id = '$id'`,
  },
  {
    what: 'two records of one object',
    refusedBy: 'idempotency_records.idempotency_records_resource_key',
    sql: `INSERT INTO idempotency_records SELECT (json_populate_record(record, '{"key":"second"}')).*
      FROM idempotency_records AS record WHERE resource_id = '$id'`,
  },
  {
    what: 'a charge that is refunded beyond its amount',
    refusedBy: 'charges.charges_refunded_is_within_amount',
    sql: `${CHARGE} amount_refunded = amount + 1 WHERE id = '$id'`,
  },
  {
    what: 'a failed charge that is refunded',
    refusedBy: 'charges.charges_only_succeeded_is_refunded',
    sql: `${CHARGE} amount_refunded = 1 WHERE id = '$failed'`,
  },
  {
    what: 'an order with two live charges',
    refusedBy: 'INDEX charges_one_live_per_order',
    sql: `${CHARGE} order_id = '$order' WHERE id = '$id'`,
  },
  {
    what: 'a negative stock',
    refusedBy: 'products.products_stock_is_never_negative',
    sql: `UPDATE products SET on_hand = -1 WHERE account_id = '$account'`,
  },
  {
    what: 'a receipt of an event that does not exist',
    refusedBy: 'sent_emails.sent_emails_event_fkey',
    sql: `INSERT INTO sent_emails (account_id, message_id, event_id, recipient, epoch)
      VALUES ('$account', '<planted>', 'evt_absent', 'ann@shop.test', 1)`,
  },
  {
    what: 'two shipments of one order',
    refusedBy: 'fulfillments.fulfillments_order_key',
    sql: `INSERT INTO fulfillments (account_id, id, order_id, charge_id, step, tracking_number)
      VALUES ('$account', 'ful_planted', '$order', '$bought', 'handed_over', 'TRACK-2')`,
  },
  {
    what: 'two bookings of one hold',
    refusedBy: 'stock_movements.stock_movements_pkey',
    sql: `INSERT INTO stock_movements SELECT * FROM stock_movements WHERE cause = '$bought' AND kind = 'book'`,
  },
  {
    what: 'a booking and a release of one hold',
    refusedBy: 'INDEX stock_movements_hold_ends_once',
    sql: `INSERT INTO stock_movements (account_id, sku, cause, kind, quantity)
      VALUES ('$account', 'shirt', '$bought', 'release', 2)`,
  },
  {
    what: 'two live refunds for one cause',
    refusedBy: 'INDEX refunds_one_live_per_cause',
    sql: `${REFUND} cause = 'out_of_stock:$returned' WHERE id = '$refund'`,
  },
  {
    what: 'a delivery of an event that does not exist',
    refusedBy: 'webhook_deliveries.webhook_deliveries_event_fkey',
    sql: `UPDATE webhook_deliveries SET event_id = 'evt_absent' WHERE id = '$delivery'`,
  },
  {
    what: 'one notification twice',
    refusedBy: 'processor_events.processor_events_pkey',
    sql: `INSERT INTO processor_events SELECT * FROM processor_events WHERE charge_id = '$id'`,
  },
  {
    what: 'an unknown state of a notification',
    refusedBy: 'processor_events.processor_events_state_is_known',
    sql: `UPDATE processor_events SET state = 'ignored' WHERE charge_id = '$id'`,
  },
];
