import type { Invariant } from './invariant.js';

const CHARGE_OF_ORDER = `orders LEFT JOIN charges AS charge ON charge.account_id = orders.account_id
        AND charge.id = orders.charge_id AND charge.order_id = orders.id`;

/** Orders, the charges that hold or paid them, and the stock. */
export const ORDER_INVARIANTS: readonly Invariant[] = [
  {
    name: 'order_paid_without_its_charge',
    why: 'The shop ships a paid order.',
    sql: `SELECT orders.account_id, orders.id, 'its charge is ' || COALESCE(charge.status, 'absent') AS detail
      FROM ${CHARGE_OF_ORDER}
      WHERE orders.status = 'paid' AND charge.status IS DISTINCT FROM 'succeeded'`,
  },
  {
    name: 'order_held_by_no_pending_charge',
    why: 'Only the end of the charge frees the order: held by another it can never be paid, changed or canceled.',
    sql: `SELECT orders.account_id, orders.id, 'its charge is ' || COALESCE(charge.status, 'absent') AS detail
      FROM ${CHARGE_OF_ORDER}
      WHERE orders.status = 'open' AND orders.charge_id IS NOT NULL AND charge.status IS DISTINCT FROM 'pending'`,
  },
  {
    name: 'charge_of_an_order_that_does_not_show_it',
    why: 'The order looks free, or canceled, while its money moves or has moved.',
    sql: `SELECT charge.account_id, charge.id, charge.status || ', the order is ' || COALESCE(orders.status, 'absent')
          AS detail
      FROM charges AS charge
      LEFT JOIN orders ON orders.account_id = charge.account_id AND orders.id = charge.order_id
      WHERE charge.order_id IS NOT NULL AND charge.status <> 'failed'
        AND (orders.charge_id, orders.status) IS DISTINCT FROM
          (charge.id, CASE WHEN charge.status = 'pending' THEN 'open' WHEN orders.status = 'canceled' THEN 'canceled'
            ELSE 'paid' END)`,
  },
  {
    name: 'order_canceled_but_not_refunded',
    why: 'A paid order that cannot be delivered is canceled after its money went back, all of it.',
    sql: `SELECT orders.account_id, orders.id, refunded.amount || ' of ' || charge.amount || ' went back' AS detail
      FROM ${CHARGE_OF_ORDER}
      CROSS JOIN LATERAL (SELECT COALESCE(sum(refund.amount), 0) AS amount FROM refunds AS refund
        WHERE refund.account_id = charge.account_id AND refund.charge_id = charge.id
          AND refund.status = 'succeeded') AS refunded
      WHERE orders.status = 'canceled' AND charge.status = 'succeeded' AND refunded.amount < charge.amount`,
  },
  {
    name: 'order_with_two_live_charges',
    why: 'The unique index decides between two keys for one order; a damaged one decides nothing.',
    sql: `SELECT account_id, order_id AS id, count(*) || ' charges' AS detail
      FROM charges WHERE order_id IS NOT NULL AND status IN ('pending', 'succeeded')
      GROUP BY account_id, order_id HAVING count(*) > 1`,
  },
  {
    name: 'charge_differs_from_its_order',
    why: 'An order that was changed between reserve and settle would be paid with another amount.',
    sql: `SELECT charge.account_id, charge.id,
        concat_ws(' ', charge.amount, charge.currency, 'instead of', orders.total, orders.currency) AS detail
      FROM charges AS charge JOIN orders ON orders.account_id = charge.account_id AND orders.id = charge.order_id
      WHERE charge.status <> 'failed' AND (charge.amount, charge.currency) <> (orders.total, orders.currency)`,
  },
  {
    name: 'order_total_is_not_the_sum_of_its_items',
    why: 'The total is what will be charged, the items are what will be sent.',
    sql: `SELECT orders.account_id, orders.id, orders.total || ' instead of ' || items.total AS detail
      FROM orders CROSS JOIN LATERAL (
        SELECT sum((item ->> 'quantity')::bigint * (item ->> 'unit_amount')::bigint) AS total
        FROM json_array_elements(orders.items) AS item) AS items
      WHERE orders.total IS DISTINCT FROM items.total`,
  },
  {
    name: 'product_stock_is_not_the_sum_of_its_movements',
    why: 'Both numbers are kept beside the movements; whoever moves one writes the other.',
    sql: `SELECT product.account_id, product.sku AS id, concat_ws(' ', 'on hand', product.on_hand, 'instead of',
          moved.on_hand, 'held', product.held, 'instead of', moved.held) AS detail
      FROM products AS product CROSS JOIN LATERAL (
        SELECT COALESCE(sum(CASE kind WHEN 'adjust' THEN quantity WHEN 'book' THEN -quantity END), 0) AS on_hand,
          COALESCE(sum(CASE kind WHEN 'hold' THEN quantity WHEN 'adjust' THEN 0 ELSE -quantity END), 0) AS held
        FROM stock_movements AS movement
        WHERE movement.account_id = product.account_id AND movement.sku = product.sku) AS moved
      WHERE (product.on_hand, product.held) IS DISTINCT FROM (moved.on_hand, moved.held)`,
  },
  {
    name: 'product_stock_negative',
    why: 'Something was promised, or sent, that was not there.',
    sql: `SELECT account_id, sku AS id, 'on hand ' || on_hand || ', held ' || held AS detail
      FROM products WHERE on_hand < 0 OR held < 0`,
  },
  {
    name: 'hold_contradicts_its_sale',
    why: 'The shipment books it, the failure or the cancellation releases it, in one transaction; else it is held.',
    sql: `SELECT hold.account_id, hold.cause AS id, concat_ws(' ', hold.sku, COALESCE(ended.kind, 'held') || ', the charge is',
          COALESCE(charge.status, 'absent') || ', the order', COALESCE(orders.status, 'another’s') || ',',
          COALESCE(shipment.id, 'no shipment')) AS detail
      FROM stock_movements AS hold
      LEFT JOIN stock_movements AS ended ON ended.account_id = hold.account_id AND ended.sku = hold.sku
        AND ended.cause = hold.cause AND ended.kind IN ('release', 'book')
      LEFT JOIN charges AS charge ON charge.account_id = hold.account_id AND charge.id = hold.cause
      LEFT JOIN orders ON orders.account_id = hold.account_id AND orders.charge_id = hold.cause
      LEFT JOIN fulfillments AS shipment ON shipment.account_id = hold.account_id AND shipment.charge_id = hold.cause
      WHERE hold.kind = 'hold' AND ended.kind IS DISTINCT FROM CASE
        WHEN shipment.id IS NOT NULL THEN 'book'
        WHEN orders.status = 'canceled' OR COALESCE(charge.status, 'failed') = 'failed' THEN 'release' END`,
  },
  {
    name: 'stock_released_or_booked_without_its_hold',
    why: 'A hold ends once, with what it held, by a release or by a booking.',
    sql: `SELECT ended.account_id, ended.cause AS id, ended.sku || ', ' || sum(ended.quantity) || ' of '
          || COALESCE(max(hold.quantity), 0) AS detail
      FROM stock_movements AS ended
      LEFT JOIN stock_movements AS hold ON hold.account_id = ended.account_id AND hold.sku = ended.sku
        AND hold.cause = ended.cause AND hold.kind = 'hold'
      WHERE ended.kind IN ('release', 'book')
      GROUP BY ended.account_id, ended.cause, ended.sku
      HAVING sum(ended.quantity) IS DISTINCT FROM max(hold.quantity)`,
  },
];
