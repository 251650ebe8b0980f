-- Receipts, shipments, canceled sales and owed refunds: each outcome has its effect, each effect its cause, once.
-- (These are our rows. The mail server and the carrier know what was really sent.)
--   psql "$DATABASE_URL" -f src/audit/effects.sql    one row for each broken invariant; no rows: nothing found

-- A job leaves the queue after its work has committed. So nothing counts as missing while a job about the object is
-- queued. A parked job used up its attempts: it waits for a person (`npm run jobs -- retry`).
WITH work AS (
  SELECT payload ->> 'account' AS account_id, member, payload ->> member AS id,
    bool_or(attempts < max_attempts OR locked_at IS NOT NULL) AS goes_on,
    'job ' || min(job.id) || ' is parked' AS parked
  FROM graphile_worker._private_jobs AS job, (VALUES ('event'), ('order'), ('fulfillment')) AS about (member)
  GROUP BY 1, 2, 3),
-- Before the relay an event has no jobs yet; `event_not_relayed` reports one that waits too long.
processed AS NOT MATERIALIZED (
  SELECT event.*, COALESCE(work.parked, 'no job for it') AS parked
  FROM events AS event
  LEFT JOIN work ON work.account_id = event.account_id AND work.member = 'event' AND work.id = event.id
  WHERE event.relayed_at IS NOT NULL AND work.goes_on IS NOT TRUE)

-- event_without_its_receipt: The customer paid, left an address, and gets no e-mail.
SELECT 'event_without_its_receipt' AS invariant, event.account_id, event.id, event.parked AS detail
FROM processed AS event
LEFT JOIN orders ON orders.account_id = event.account_id AND orders.id = event.data #>> '{object,order}'
WHERE event.type = 'charge.succeeded' AND COALESCE(event.data #>> '{object,receipt_email}', orders.email) IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM sent_emails AS mail
    WHERE mail.account_id = event.account_id AND mail.event_id = event.id AND mail.sent_at IS NOT NULL)

-- event_without_its_shipment: A paid order is shipped, or its sale is canceled.
UNION ALL SELECT 'event_without_its_shipment', event.account_id, event.id,
  concat_ws(', ', 'order ' || event.cause, event.parked, COALESCE(work.parked, 'no job for it'))
FROM processed AS event
LEFT JOIN work ON work.account_id = event.account_id AND work.member = 'order' AND work.id = event.cause
WHERE event.type = 'order.paid' AND work.goes_on IS NOT TRUE
  AND NOT EXISTS (SELECT 1 FROM fulfillments AS shipment
    WHERE shipment.account_id = event.account_id AND shipment.order_id = event.cause)
  AND NOT EXISTS (SELECT 1 FROM sale_cancellations AS sale
    WHERE sale.account_id = event.account_id AND sale.order_id = event.cause)

-- shipment_half_way: One job makes all the steps. If that job is gone, the shipment never ends.
UNION ALL SELECT 'shipment_half_way', shipment.account_id, shipment.id,
  shipment.step || ', ' || COALESCE(work.parked, 'no job for it')
FROM fulfillments AS shipment
LEFT JOIN work ON work.account_id = shipment.account_id AND work.member = 'fulfillment' AND work.id = shipment.id
WHERE shipment.step <> 'handed_over' AND work.goes_on IS NOT TRUE

-- sale_canceled_half_way: The order will not be shipped, so the money must go back and the order must be canceled.
UNION ALL SELECT 'sale_canceled_half_way', sale.account_id, sale.order_id,
  'the order is ' || orders.status || ', ' || COALESCE(work.parked, 'no job for it')
FROM sale_cancellations AS sale
JOIN orders ON orders.account_id = sale.account_id AND orders.id = sale.order_id
LEFT JOIN work ON work.account_id = sale.account_id AND work.member = 'order' AND work.id = sale.order_id
WHERE orders.status <> 'canceled' AND work.goes_on IS NOT TRUE

-- refund_owed_but_refused: We owe the customer this money. The job retries, but only a person can change the outcome.
-- The last refund for a cause counts: `cause`, `cause#2` and so on.
UNION ALL SELECT 'refund_owed_but_refused', refund.account_id, refund.id, concat_ws(', ', refund.failure_code,
  charge.amount - charge.amount_refunded || ' ' || charge.currency || ' of ' || charge.id || ' left')
FROM refunds AS refund
JOIN charges AS charge ON charge.account_id = refund.account_id AND charge.id = refund.charge_id
WHERE refund.cause IS NOT NULL AND refund.status = 'failed' AND charge.amount_refunded < charge.amount
  AND NOT EXISTS (SELECT 1 FROM refunds AS next
    WHERE next.account_id = refund.account_id AND next.charge_id = refund.charge_id
      AND split_part(next.cause, '#', 1) = split_part(refund.cause, '#', 1)
      AND (next.status <> 'failed' OR (length(next.cause), next.cause) > (length(refund.cause), refund.cause)))

-- receipt_without_its_event: The customer has a receipt for a payment that did not happen. The foreign key checks that
-- the event exists, not what it says.
UNION ALL SELECT 'receipt_without_its_event', mail.account_id, mail.event_id, mail.message_id
FROM sent_emails AS mail
WHERE NOT EXISTS (SELECT 1 FROM events AS event
  WHERE event.account_id = mail.account_id AND event.id = mail.event_id AND event.type = 'charge.succeeded')

-- shipment_without_its_sale: The order does not show this shipment, is not paid, or its money goes back.
UNION ALL SELECT 'shipment_without_its_sale', shipment.account_id, shipment.id, concat_ws(' ', 'order',
  shipment.order_id, 'is', COALESCE(orders.status, 'absent'), 'by', orders.charge_id, 'with', orders.fulfillment_id,
  ', to be canceled: ' || sale.reason)
FROM fulfillments AS shipment
LEFT JOIN orders ON orders.account_id = shipment.account_id AND orders.id = shipment.order_id
LEFT JOIN sale_cancellations AS sale ON sale.account_id = shipment.account_id AND sale.order_id = shipment.order_id
WHERE sale.order_id IS NOT NULL OR (orders.status, orders.charge_id, orders.fulfillment_id)
  IS DISTINCT FROM ('paid', shipment.charge_id, shipment.id)

-- refund_owed_without_its_decision: We make a refund by ourselves for one reason: the sale of that charge was canceled.
UNION ALL SELECT 'refund_owed_without_its_decision', refund.account_id, refund.id, refund.cause
FROM refunds AS refund
WHERE refund.cause IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sale_cancellations AS sale
  WHERE sale.account_id = refund.account_id AND sale.charge_id = refund.charge_id
    AND sale.reason || ':' || sale.charge_id = split_part(refund.cause, '#', 1))

-- effect_twice: One event has one receipt. The primary key is the message's id, so it would allow two. (Unique indexes
-- allow one shipment, one movement of stock and one live refund for a cause: constraints.sql.)
UNION ALL SELECT 'effect_twice', account_id, event_id, count(*) || ' times receipt'
FROM sent_emails GROUP BY account_id, event_id HAVING count(*) > 1;
