-- The processor's notifications, and what our rows made of them.
--   psql "$DATABASE_URL" -f src/audit/notifications.sql    one row for each broken invariant; no rows: nothing found

-- Each notification with the charge or refund that it is about. A refund that was made elsewhere names none of ours: it
-- is found by its reference. A rebuilt row exists since `rebuilt_at`. Each way to find the object is a branch, so that
-- each uses an index.
WITH notification AS NOT MATERIALIZED (
  SELECT event.account_id, event.id, event.state, event.received_at, event.refund_id IS NOT NULL AS is_refund,
    COALESCE(event.refund_id, event.charge_id) AS object_id, event.fact -> 'answer' ->> 'kind' AS kind,
    event.fact ->> 'reference' AS reference, object.status, object.processor_reference, object.exists_since
  FROM processor_events AS event
  LEFT JOIN LATERAL (
    SELECT status, processor_reference, GREATEST(created_at, rebuilt_at) AS exists_since FROM charges
    WHERE event.refund_id IS NULL AND charges.account_id = event.account_id AND charges.id = event.charge_id
    UNION ALL
    SELECT status, processor_reference, GREATEST(created_at, rebuilt_at) FROM refunds
    WHERE event.fact ->> 'madeElsewhereAt' IS NULL
      AND refunds.account_id = event.account_id AND refunds.id = event.refund_id
    UNION ALL
    SELECT status, processor_reference, GREATEST(created_at, rebuilt_at) FROM refunds
    WHERE event.fact ->> 'madeElsewhereAt' IS NOT NULL AND event.refund_id IS NOT NULL
      AND refunds.account_id = event.account_id AND refunds.processor_reference = event.fact ->> 'reference'
    ) AS object ON true)

-- notification_applied_but_not_shown: We acknowledged it, so the processor will not send it again. The charge or refund
-- must exist and must have ended. If money moved, it or a parked payment must account for that money.
SELECT 'notification_applied_but_not_shown' AS invariant, account_id, id, concat_ws(' ', object_id, 'is',
  COALESCE(status, 'absent'), 'by', COALESCE(processor_reference, 'nothing') || ', reported:', kind, reference) AS detail
FROM notification WHERE state = 'applied' AND (COALESCE(status, 'pending') = 'pending'
  -- A refund may fail after a success, and keeps its reference.
  OR kind = 'succeeded' AND (processor_reference IS DISTINCT FROM reference OR (status = 'failed' AND NOT is_refund)))

-- notification_waiting_for_what_is_there: The worker looks every few seconds, and applies it when its object exists. If
-- it waits for a minute more, the worker has stopped. (The worker reads thousands in a round: each waiting one may add
-- a millisecond.)
UNION ALL SELECT 'notification_waiting_for_what_is_there', account_id, id, object_id || ' is ' || status
FROM notification
WHERE state = 'waiting' AND status IS NOT NULL AND GREATEST(received_at, exists_since) < now() - interval '1 minute'
  - (SELECT count(*) FROM notification WHERE state = 'waiting') * interval '1 millisecond'

-- notification_kept_too_long: The worker removes what waited for thirty days, so that the table does not grow forever.
UNION ALL SELECT 'notification_kept_too_long', account_id, id, 'since ' || received_at
FROM notification WHERE state = 'waiting' AND received_at < now() - interval '31 days'

-- notification_parked_without_its_payment: A person looks at the parked payments, and an alarm counts them. This one is
-- not among them.
UNION ALL SELECT 'notification_parked_without_its_payment', account_id, id,
  COALESCE(reference, 'no reference') || ' of ' || object_id
FROM notification WHERE state = 'parked' AND NOT EXISTS (SELECT 1 FROM parked_payments AS parked
  WHERE parked.account_id = notification.account_id AND parked.processor_reference = notification.reference);
