import type { Fault } from './faults.js';

const REFUND = 'UPDATE refunds SET';
const ORDER = 'UPDATE orders SET';
const IS_REFUND = `WHERE id = '$refund'`;
const OF_REFUND = `WHERE resource_id = '$refund'`;
const SUM = 'charge_refunded_is_not_the_sum_of_its_refunds';
const UNSOLD = 'shipment_without_its_sale';
const MISHELD = 'hold_contradicts_its_sale';
const HIDES = 'charge_of_an_order_that_does_not_show_it';

/** Includes the faults that charges and refunds have in common. */
export const REFUND_FAULTS: readonly Fault[] = [
  {
    invariant: 'record_without_its_refund',
    sql: `DELETE FROM refunds WHERE id = '$refundPending'`,
  },
  {
    invariant: 'refund_without_its_record',
    sql: `DELETE FROM idempotency_records ${OF_REFUND}`,
  },
  {
    invariant: 'refund_contradicts_its_answer',
    also: [SUM],
    sql: `${REFUND} status = 'pending', settled_at = NULL ${IS_REFUND}`,
  },
  {
    invariant: 'refund_contradicts_its_answer',
    sql: `UPDATE idempotency_records SET state = 'in_progress', completed_at = NULL, expires_at = NULL,
      response_status = NULL, response_headers = NULL, response_body = NULL ${OF_REFUND}`,
  },
  {
    invariant: 'refund_contradicts_its_answer',
    also: [SUM],
    sql: `${REFUND} status = 'failed', failure_code = 'charge_disputed' ${IS_REFUND}`,
  },
  {
    // The stored 201 is a snapshot from before the failure, so it does not contradict the refund.
    invariant: 'outcome_without_its_event',
    also: [SUM],
    sql: `${REFUND} status = 'failed', failure_code = 'lost_or_stolen_card', reversed_at = now() ${IS_REFUND}`,
  },
  {
    invariant: 'refund_answered_with_another_amount',
    sql: `UPDATE idempotency_records SET response_body = replace(response_body, ':100,', ':10,') ${OF_REFUND}`,
  },
  ...['"amount":100,', '"refund":"$refund"', '"account":"$account"'].map((member) => ({
    invariant: 'refund_with_parameters_of_another',
    sql: `${REFUND} processor_parameters = replace(processor_parameters, '${member}', '') ${IS_REFUND}`,
  })),
  {
    invariant: 'refund_of_no_such_payment',
    sql: `${REFUND} charge_id = '$failed' WHERE id = '$refundFailed'`,
  },
  {
    invariant: 'refund_of_no_such_payment',
    sql: `${REFUND} currency = 'usd' WHERE id = '$refundFailed'`,
  },
  {
    invariant: 'refunds_exceed_their_charge',
    sql: `${REFUND} amount = 1101,
        processor_parameters = replace(processor_parameters, '"amount":100,', '"amount":1101,')
      WHERE id = '$refundPending'`,
  },
  { invariant: SUM, sql: `UPDATE charges SET amount_refunded = 99 WHERE id = '$bought'` },
];

export const ORDER_FAULTS: readonly Fault[] = [
  ...[
    ['resend', 'POST /events/{id}/resend', 'rs'],
    ['endpoint', 'POST /webhook-endpoints', 'we'],
    ['secret', 'POST /webhook-endpoints/{id}/rotate-secret', 'whs'],
    ['owed_refund', 'compensation', 're'],
  ].map(([object, operation, prefix]) => ({
    invariant: `record_without_its_${object}`,
    also: ['charge_without_its_record', 'record_under_another_name'],
    sql: `UPDATE idempotency_records SET operation = '${operation}', resource_id = '${prefix}_planted'
      WHERE resource_id = '$pending'`,
  })),
  {
    invariant: 'order_canceled_but_not_refunded',
    also: ['outcome_without_its_event', UNSOLD],
    sql: `UPDATE orders SET status = 'canceled' WHERE id = '$order'`,
  },
  {
    invariant: 'order_canceled_but_not_refunded', // canceled before the money went back
    also: [SUM, 'refund_without_its_record'],
    sql: `${REFUND} status = 'pending', settled_at = NULL WHERE id = '$owed'`,
  },
  {
    invariant: 'record_without_its_order',
    also: [HIDES, UNSOLD],
    drop: ['charges.charges_order_fkey', 'fulfillments.fulfillments_order_fkey'],
    sql: `DELETE FROM orders WHERE id = '$order'`,
  },
  {
    invariant: 'order_contradicts_its_charge',
    also: [HIDES, UNSOLD],
    sql: `${ORDER} charge_id = '$id' WHERE account_id = '$account' AND id = '$order'`,
  },
  {
    invariant: 'order_contradicts_its_charge',
    also: [HIDES, UNSOLD],
    sql: `${ORDER} status = 'open' WHERE id = '$order'`,
  },
  {
    invariant: HIDES,
    sql: `${ORDER} charge_id = NULL WHERE account_id = '$account' AND id = '$held'`,
  },
  {
    invariant: HIDES,
    sql: `${ORDER} charge_id = NULL, status = 'canceled' WHERE account_id = '$account' AND id = '$held'`,
  },
  {
    invariant: 'charge_differs_from_its_order',
    also: ['order_total_is_not_the_sum_of_its_items'],
    sql: `${ORDER} total = 1300 WHERE id = '$order'`,
  },
  {
    invariant: 'charge_differs_from_its_order',
    sql: `${ORDER} currency = 'usd' WHERE id = '$order'`,
  },
  {
    invariant: 'order_total_is_not_the_sum_of_its_items',
    sql: `${ORDER} items = '[{"sku":"shirt","quantity":3,"unit_amount":600}]' WHERE id = '$order'`,
  },
  {
    invariant: 'product_stock_is_not_the_sum_of_its_movements',
    sql: `UPDATE products SET on_hand = 11 WHERE account_id = '$account'`,
  },
  {
    invariant: 'product_stock_is_not_the_sum_of_its_movements',
    sql: `UPDATE products SET held = 3 WHERE account_id = '$account'`,
  },
  ...['$failed', 'ch_absent'].map((cause) => ({
    invariant: MISHELD, // its charge will never book it
    sql: `UPDATE stock_movements SET cause = '${cause}' WHERE cause = '$holder'`,
  })),
  {
    invariant: MISHELD, // shipped, and still held
    sql: `DELETE FROM stock_movements WHERE cause = '$bought' AND kind = 'book';
      UPDATE products SET on_hand = on_hand + 2, held = held + 2 WHERE account_id = '$account'`,
  },
  {
    invariant: MISHELD, // one of two products of a shipment
    sql: `INSERT INTO products (account_id, sku, name, on_hand, held, version)
        VALUES ('$account', 'mug', 'Mug', 1, 1, 1);
      INSERT INTO stock_movements (account_id, sku, cause, kind, quantity)
        VALUES ('$account', 'mug', 'version 1', 'adjust', 1), ('$account', 'mug', '$bought', 'hold', 1)`,
  },
  {
    invariant: MISHELD, // canceled, and still held
    sql: `DELETE FROM stock_movements WHERE cause = '$returned' AND kind = 'release';
      UPDATE products SET held = held + 2 WHERE account_id = '$account'`,
  },
  ...['release', 'book'].map((kind) => ({
    invariant: MISHELD, // released or booked while the charge is pending
    sql: `INSERT INTO stock_movements (account_id, sku, cause, kind, quantity)
        VALUES ('$account', 'shirt', '$holder', '${kind}', 2);
      UPDATE products SET held = held - 2, on_hand = on_hand - ${kind === 'book' ? 2 : 0}
      WHERE account_id = '$account'`,
  })),
  ...['release', 'book'].map((kind) => ({
    invariant: 'stock_released_or_booked_without_its_hold',
    also: ['product_stock_is_not_the_sum_of_its_movements'],
    sql: `INSERT INTO stock_movements (account_id, sku, cause, kind, quantity)
      VALUES ('$account', 'shirt', '$failed', '${kind}', 1)`,
  })),
];

const DELETE_EVENT = `DELETE FROM events WHERE cause =`;
const NO_EVENT = 'outcome_without_its_event';

export const EVENT_FAULTS: readonly Fault[] = [
  ...['$id', '$failed', '$refund', '$order'].map((cause) => ({
    invariant: NO_EVENT,
    sql: `${DELETE_EVENT} '${cause}'`,
  })),
  {
    invariant: NO_EVENT,
    sql: `INSERT INTO orders (account_id, id, status, currency, total, items, metadata, version)
      SELECT account_id, 'ord_planted', 'canceled', currency, total, items, '{}', 1 FROM orders WHERE id = '$order'`,
  },
  {
    invariant: NO_EVENT,
    also: [UNSOLD],
    sql: `INSERT INTO fulfillments (account_id, id, order_id, charge_id, step, tracking_number)
      VALUES ('$account', 'ful_planted', '$held', '$pending', 'handed_over', 'TRACK-2')`,
  },
  ...['charge.succeeded', 'charge.refunded', 'order.paid'].map((type) => ({
    invariant: 'event_without_its_outcome',
    also: type === 'order.paid' ? ['event_without_its_shipment'] : [],
    sql: `INSERT INTO events (account_id, id, type, cause, data, relayed_at)
      VALUES ('$account', 'evt_planted', '${type}', '$pending', '{}', now())`,
  })),
  {
    invariant: 'outcome_with_two_events',
    sql: `UPDATE events SET id = 'evt_zzz' WHERE cause = '$id';
      INSERT INTO events (account_id, id, type, cause, data)
      VALUES ('$account', 'evt_planted', 'charge.succeeded', '$id', '{}')`,
  },
];
