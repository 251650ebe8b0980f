-- Orders, the charges that hold or paid them, and the stock.
--   psql "$DATABASE_URL" -f src/audit/orders.sql    one row for each broken invariant; no rows: nothing found

-- Each order with the charge that it shows, if that charge is for this order.
WITH shown AS NOT MATERIALIZED (
  SELECT orders.account_id, orders.id, orders.status, orders.charge_id, charge.id AS found_charge_id,
    charge.status AS charge_status, charge.amount AS charge_amount
  FROM orders LEFT JOIN charges AS charge ON charge.account_id = orders.account_id
    AND charge.id = orders.charge_id AND charge.order_id = orders.id)

-- order_contradicts_its_charge: The shop ships a paid order, so its charge must have taken the money. Only the end of
-- its charge frees an open order: held by any other charge, it can never be paid, changed or canceled.
SELECT 'order_contradicts_its_charge' AS invariant, account_id, id,
  status || ', its charge is ' || COALESCE(charge_status, 'absent') AS detail
FROM shown WHERE charge_id IS NOT NULL AND status <> 'canceled'
  AND charge_status IS DISTINCT FROM CASE status WHEN 'paid' THEN 'succeeded' ELSE 'pending' END

-- charge_of_an_order_that_does_not_show_it: The order looks free, or canceled, while its money moves or has moved.
UNION ALL SELECT 'charge_of_an_order_that_does_not_show_it', charge.account_id, charge.id,
  charge.status || ', the order is ' || COALESCE(orders.status, 'absent')
FROM charges AS charge
LEFT JOIN orders ON orders.account_id = charge.account_id AND orders.id = charge.order_id
WHERE charge.order_id IS NOT NULL AND charge.status <> 'failed'
  AND (orders.charge_id, orders.status) IS DISTINCT FROM (charge.id, CASE WHEN charge.status = 'pending' THEN 'open'
    WHEN orders.status = 'canceled' THEN 'canceled' ELSE 'paid' END)

-- order_canceled_but_not_refunded: A paid order that cannot be delivered is canceled after all of its money went back.
UNION ALL SELECT 'order_canceled_but_not_refunded', shown.account_id, shown.id,
  refunded.amount || ' of ' || shown.charge_amount || ' went back'
FROM shown CROSS JOIN LATERAL (SELECT COALESCE(sum(refund.amount), 0) AS amount FROM refunds AS refund
  WHERE refund.account_id = shown.account_id AND refund.charge_id = shown.found_charge_id
    AND refund.status = 'succeeded') AS refunded
WHERE shown.status = 'canceled' AND shown.charge_status = 'succeeded' AND refunded.amount < shown.charge_amount

-- charge_differs_from_its_order: An order that changes between reserve and settle would be paid with another amount.
UNION ALL SELECT 'charge_differs_from_its_order', charge.account_id, charge.id,
  concat_ws(' ', charge.amount, charge.currency, 'instead of', orders.total, orders.currency)
FROM charges AS charge JOIN orders ON orders.account_id = charge.account_id AND orders.id = charge.order_id
WHERE charge.status <> 'failed' AND (charge.amount, charge.currency) <> (orders.total, orders.currency)

-- order_total_is_not_the_sum_of_its_items: The customer pays the total and receives the items.
UNION ALL SELECT 'order_total_is_not_the_sum_of_its_items', orders.account_id, orders.id,
  orders.total || ' instead of ' || items.total
FROM orders CROSS JOIN LATERAL (
  SELECT sum((item ->> 'quantity')::bigint * (item ->> 'unit_amount')::bigint) AS total
  FROM json_array_elements(orders.items) AS item) AS items
WHERE orders.total IS DISTINCT FROM items.total

-- product_stock_is_not_the_sum_of_its_movements: The product keeps both sums. Each movement changes them.
UNION ALL SELECT 'product_stock_is_not_the_sum_of_its_movements', product.account_id, product.sku, concat_ws(' ',
  'on hand', product.on_hand, 'instead of', moved.on_hand, 'held', product.held, 'instead of', moved.held)
FROM products AS product CROSS JOIN LATERAL (
  SELECT COALESCE(sum(CASE kind WHEN 'adjust' THEN quantity WHEN 'book' THEN -quantity END), 0) AS on_hand,
    COALESCE(sum(CASE kind WHEN 'hold' THEN quantity WHEN 'adjust' THEN 0 ELSE -quantity END), 0) AS held
  FROM stock_movements AS movement
  WHERE movement.account_id = product.account_id AND movement.sku = product.sku) AS moved
WHERE (product.on_hand, product.held) IS DISTINCT FROM (moved.on_hand, moved.held)

-- hold_contradicts_its_sale: The shipment books the hold. The failure or the cancellation releases it, in the same
-- transaction. Otherwise it is held.
UNION ALL SELECT 'hold_contradicts_its_sale', hold.account_id, hold.cause, concat_ws(', ',
  hold.sku || ' ' || COALESCE(ended.kind, 'held'), 'the charge is ' || COALESCE(charge.status, 'absent'),
  'the order is ' || COALESCE(orders.status, 'another’s'), COALESCE(shipment.id, 'no shipment'))
FROM stock_movements AS hold
LEFT JOIN stock_movements AS ended ON ended.account_id = hold.account_id AND ended.sku = hold.sku
  AND ended.cause = hold.cause AND ended.kind IN ('release', 'book')
LEFT JOIN charges AS charge ON charge.account_id = hold.account_id AND charge.id = hold.cause
LEFT JOIN orders ON orders.account_id = hold.account_id AND orders.charge_id = hold.cause
LEFT JOIN fulfillments AS shipment ON shipment.account_id = hold.account_id AND shipment.charge_id = hold.cause
WHERE hold.kind = 'hold' AND ended.kind IS DISTINCT FROM CASE
  WHEN shipment.id IS NOT NULL THEN 'book'
  WHEN orders.status = 'canceled' OR COALESCE(charge.status, 'failed') = 'failed' THEN 'release' END

-- stock_released_or_booked_without_its_hold: A hold ends by a release or a booking of the same quantity. (A unique index
-- lets it end once.)
UNION ALL SELECT 'stock_released_or_booked_without_its_hold', ended.account_id, ended.cause,
  ended.sku || ', ' || ended.quantity || ' of ' || COALESCE(hold.quantity, 0)
FROM stock_movements AS ended
LEFT JOIN stock_movements AS hold ON hold.account_id = ended.account_id AND hold.sku = ended.sku
  AND hold.cause = ended.cause AND hold.kind = 'hold'
WHERE ended.kind IN ('release', 'book') AND ended.quantity IS DISTINCT FROM hold.quantity;
