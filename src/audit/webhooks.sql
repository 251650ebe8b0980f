-- Outgoing webhooks: endpoints, deliveries, attempts.
--   psql "$DATABASE_URL" -f src/audit/webhooks.sql    one row for each broken invariant; no rows: nothing found

-- Events with the job that plans their deliveries. As in effects.sql: nothing is missing before the relay, or while the
-- job is still to run; a parked job waits for a person.
WITH work AS (
  SELECT payload ->> 'account' AS account_id, payload ->> 'event' AS id,
    bool_or(attempts < max_attempts OR locked_at IS NOT NULL) AS goes_on, 'job ' || min(id) || ' is parked' AS parked
  FROM graphile_worker._private_jobs GROUP BY 1, 2),
planned AS NOT MATERIALIZED (
  SELECT event.account_id, event.id, event.type, event.created_at, COALESCE(work.parked, 'no job for it') AS parked,
    event.relayed_at IS NOT NULL AND work.goes_on IS NOT TRUE AS is_planned
  FROM events AS event LEFT JOIN work ON work.account_id = event.account_id AND work.id = event.id),
-- Which endpoint wants which event now. An endpoint that is less than a minute older than the event may have been
-- committed after its deliveries were planned.
wanted AS NOT MATERIALIZED (
  SELECT planned.*, endpoint.id AS endpoint_id, endpoint.created_at AS endpoint_created_at,
    planned.is_planned AND endpoint.created_at < planned.created_at - interval '1 minute' AS is_due
  FROM planned JOIN webhook_endpoints AS endpoint ON endpoint.account_id = planned.account_id
  WHERE endpoint.deleted_at IS NULL AND endpoint.disabled_at IS NULL
    AND endpoint.events::jsonb ?| ARRAY[planned.type, '*'])

-- endpoint_without_its_secret: We cannot sign what we send to it. A rotation leaves one secret without an end.
SELECT 'endpoint_without_its_secret' AS invariant, endpoint.account_id, endpoint.id,
  count(secret.id) || ' secrets without an end' AS detail
FROM webhook_endpoints AS endpoint
LEFT JOIN webhook_secrets AS secret ON secret.account_id = endpoint.account_id
  AND secret.endpoint_id = endpoint.id AND secret.expires_at IS NULL
WHERE endpoint.deleted_at IS NULL
GROUP BY endpoint.account_id, endpoint.id HAVING count(secret.id) <> 1

-- event_without_its_delivery: An endpoint of the account wants the event, and no job will plan its delivery.
UNION ALL SELECT 'event_without_its_delivery', account_id, id, 'none to ' || endpoint_id || ', ' || parked
FROM wanted
WHERE is_due AND NOT EXISTS (SELECT 1 FROM webhook_deliveries AS delivery WHERE delivery.account_id = wanted.account_id
  AND delivery.endpoint_id = wanted.endpoint_id AND delivery.event_id = wanted.id)

-- resend_without_its_deliveries: We promised to send the event once more to each endpoint that wants it. The resend and
-- its deliveries commit together.
UNION ALL SELECT 'resend_without_its_deliveries', resent.account_id, resent.event_id,
  concat_ws(' ', delivered.times, 'deliveries to', resent.endpoint_id, 'instead of', resent.times)
FROM (SELECT resend.account_id, resend.event_id, wanted.endpoint_id, count(*) + max(wanted.is_due::int) AS times
  FROM event_resends AS resend
  JOIN wanted ON wanted.account_id = resend.account_id AND wanted.id = resend.event_id
  WHERE wanted.endpoint_created_at < resend.created_at - interval '1 minute'
  GROUP BY resend.account_id, resend.event_id, wanted.endpoint_id) AS resent
CROSS JOIN LATERAL (SELECT count(*) AS times FROM webhook_deliveries AS delivery
  WHERE delivery.account_id = resent.account_id AND delivery.event_id = resent.event_id
    AND delivery.endpoint_id = resent.endpoint_id) AS delivered
WHERE delivered.times < resent.times

-- delivery_overdue: A due delivery is attempted within seconds, also after a crash. No worker runs, or each attempt
-- kills it. Ten minutes is longer than a restart of all workers, or the queue of one slow endpoint.
UNION ALL SELECT 'delivery_overdue', account_id, id, attempts || ' attempts, due since ' || next_attempt_at
FROM webhook_deliveries WHERE status = 'pending' AND next_attempt_at < now() - interval '10 minutes'

-- delivery_without_its_event: We sent what did not happen, or what the endpoint did not ask for. An endpoint that was
-- created again may want other events than before.
UNION ALL SELECT 'delivery_without_its_event', delivery.account_id, delivery.id,
  delivery.event_id || ' to ' || delivery.endpoint_id
FROM webhook_deliveries AS delivery
JOIN webhook_endpoints AS endpoint ON endpoint.account_id = delivery.account_id AND endpoint.id = delivery.endpoint_id
WHERE delivery.created_at > endpoint.created_at + interval '1 minute'
  AND NOT EXISTS (SELECT 1 FROM events AS event WHERE event.account_id = delivery.account_id
    AND event.id = delivery.event_id AND endpoint.events::jsonb ?| ARRAY[event.type, '*'])

-- event_delivered_twice: An endpoint gets one delivery, and one more for each resend.
UNION ALL SELECT 'event_delivered_twice', account_id, event_id, delivered.times || ' times to ' || delivered.endpoint_id
FROM (SELECT account_id, event_id, endpoint_id, count(*) AS times FROM webhook_deliveries
  GROUP BY account_id, event_id, endpoint_id HAVING count(*) > 1) AS delivered
LEFT JOIN (SELECT account_id, event_id, count(*) AS times FROM event_resends
  GROUP BY account_id, event_id) AS resent USING (account_id, event_id)
WHERE delivered.times > 1 + COALESCE(resent.times, 0)

-- delivery_contradicts_its_attempts: Each attempt has its row before it sends. A 2xx answer ends the delivery.
UNION ALL SELECT 'delivery_contradicts_its_attempts', delivery.account_id, delivery.id, concat_ws(' ',
  delivery.status, 'after', delivery.attempts, 'attempts,', made.total, 'written,', made.good, 'of them good')
FROM webhook_deliveries AS delivery CROSS JOIN LATERAL (
  SELECT count(*) AS total, count(*) FILTER (WHERE response_status BETWEEN 200 AND 299) AS good
  FROM webhook_attempts AS attempt
  WHERE attempt.account_id = delivery.account_id AND attempt.delivery_id = delivery.id) AS made
WHERE delivery.attempts <> made.total OR (delivery.status = 'succeeded' AND made.good = 0)
  OR (delivery.status <> 'succeeded' AND made.good > 0);
