-- Events: each is written in the transaction of its outcome, so neither exists without the other.
--   psql "$DATABASE_URL" -f src/audit/events.sql    one row for each broken invariant; no rows: nothing found

-- Each outcome that has an event, by the type and cause of that event.
WITH outcome (account_id, type, cause) AS NOT MATERIALIZED (
  SELECT account_id, 'charge.' || status, id FROM charges WHERE status <> 'pending'
  UNION ALL SELECT account_id, 'charge.refunded', id FROM refunds WHERE status = 'succeeded' OR reversed_at IS NOT NULL
  UNION ALL SELECT account_id, 'refund.failed', id FROM refunds WHERE status = 'failed'
  UNION ALL SELECT account_id, 'order.paid', id FROM orders WHERE status <> 'open' AND charge_id IS NOT NULL
  UNION ALL SELECT account_id, 'order.canceled', id FROM orders WHERE status = 'canceled'
  UNION ALL SELECT account_id, 'fulfillment.created', id FROM fulfillments)

-- outcome_without_its_event: The receipt, the shipment and the webhooks follow from the event.
SELECT 'outcome_without_its_event' AS invariant, account_id, cause AS id, 'no event ' || type AS detail
FROM outcome
WHERE NOT EXISTS (SELECT 1 FROM events AS event WHERE event.account_id = outcome.account_id
  AND event.type = outcome.type AND event.cause = outcome.cause)

-- event_without_its_outcome: The event reports, perhaps to a merchant, what did not happen.
UNION ALL SELECT 'event_without_its_outcome', account_id, id, type || ' of ' || cause
FROM events AS event
WHERE NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.account_id = event.account_id
  AND outcome.type = event.type AND outcome.cause = event.cause)

-- outcome_with_two_events: The id is derived from type and cause, so one outcome has one event, one receipt, and one
-- delivery to each endpoint.
UNION ALL SELECT 'outcome_with_two_events', account_id, min(id), count(*) || ' times ' || type || ' of ' || cause
FROM events GROUP BY account_id, type, cause HAVING count(*) > 1

-- event_not_relayed: The relay takes milliseconds. No worker runs, or none can relay: nothing follows from this event.
UNION ALL SELECT 'event_not_relayed', account_id, id, type || ' of ' || created_at
FROM events WHERE relayed_at IS NULL AND created_at < now() - interval '10 minutes';
