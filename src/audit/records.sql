-- Idempotency records, and the objects that belong to their keys.
--   psql "$DATABASE_URL" -f src/audit/records.sql    one row for each broken invariant; no rows: nothing found

-- What each keyed operation makes.
WITH kind (operation, prefix, object) AS (VALUES
  ('POST /charges', 'ch', 'charge'),
  ('POST /charges/{id}/refunds', 're', 'refund'),
  ('compensation', 're', 'owed_refund'),
  ('POST /orders', 'ord', 'order'),
  ('POST /events/{id}/resend', 'rs', 'resend'),
  ('POST /webhook-endpoints', 'we', 'endpoint'),
  ('POST /webhook-endpoints/{id}/rotate-secret', 'whs', 'secret')),
made (prefix, account_id, id) AS NOT MATERIALIZED (
  SELECT 'ch', account_id, id FROM charges
  UNION ALL SELECT 're', account_id, id FROM refunds
  UNION ALL SELECT 'ord', account_id, id FROM orders
  UNION ALL SELECT 'rs', account_id, id FROM event_resends
  UNION ALL SELECT 'we', account_id, id FROM webhook_endpoints
  UNION ALL SELECT 'whs', account_id, id FROM webhook_secrets)

-- record_without_its_charge, record_without_its_refund, record_without_its_owed_refund, record_without_its_order,
-- record_without_its_resend, record_without_its_endpoint, record_without_its_secret:
-- Reserve writes both rows or neither. No foreign key can hold them together: records are reaped, objects stay.
SELECT 'record_without_its_' || kind.object AS invariant, record.account_id, record.resource_id AS id,
  'no such ' || kind.object AS detail
FROM idempotency_records AS record JOIN kind ON kind.operation = record.operation
WHERE NOT EXISTS (SELECT 1 FROM made WHERE made.prefix = kind.prefix
  AND made.account_id = record.account_id AND made.id = record.resource_id)

-- record_of_an_unknown_operation: A renamed operation derives other ids. A new one needs a line in `kind` above.
UNION ALL SELECT 'record_of_an_unknown_operation', account_id, resource_id, operation
FROM idempotency_records WHERE operation NOT IN (SELECT operation FROM kind)

-- record_under_another_name: The id is SHA-256 over the JSON array of account, operation and key, in base32. Under
-- another id the primary key of the object guards nothing. (An internal key starts with §, which no client can send.)
UNION ALL SELECT 'record_under_another_name', record.account_id, record.resource_id, 'its key derives ' || derived.id
FROM idempotency_records AS record JOIN kind ON kind.operation = record.operation
CROSS JOIN LATERAL (SELECT ('x' || encode(substr(sha256(convert_to('[' || concat_ws(',', to_json(record.account_id),
  to_json(record.operation), to_json(ltrim(record.key, '§'))) || ']', 'UTF8')), 1, 20), 'hex'))::bit(160) AS bits) AS h
CROSS JOIN LATERAL (SELECT kind.prefix || '_' || string_agg(substr('0123456789abcdefghijklmnopqrstuv',
  substring(h.bits FROM digit * 5 + 1 FOR 5)::integer + 1, 1), '' ORDER BY digit) AS id
  FROM generate_series(0, 31) AS digit) AS derived
WHERE record.resource_id <> derived.id

-- record_without_its_account: The engine knows no accounts, so no foreign key holds its table to them.
UNION ALL SELECT 'record_without_its_account', account_id, resource_id, 'no such account'
FROM idempotency_records AS record WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE accounts.id = record.account_id)

-- record_overdue: The sweep runs every second and claims a record whose lease and pause are over. A record that waits
-- for a minute means that the sweep has stopped.
UNION ALL SELECT 'record_overdue', account_id, resource_id, 'attempt ' || attempts || ', due since ' || due
FROM (SELECT *, GREATEST(first_seen_at, lease_expires_at, next_attempt_at) AS due
  FROM idempotency_records WHERE state = 'in_progress' AND NOT needs_attention) AS unfinished
WHERE due < now() - interval '1 minute'

-- record_needs_attention: Each attempt failed by a fault of ours, so the sweep has stopped. A person must restart it.
UNION ALL SELECT 'record_needs_attention', account_id, resource_id,
  attempts || ' attempts, ' || failures || ' failed in recovery'
FROM idempotency_records
WHERE state = 'in_progress' AND needs_attention AND COALESCE(lease_expires_at <= clock_timestamp(), true)

-- record_stores_no_outcome: A stored 4xx or 5xx would be replayed forever, whether money moved or not.
UNION ALL SELECT 'record_stores_no_outcome', account_id, resource_id, 'stores ' || response_status
FROM idempotency_records WHERE NOT (response_status BETWEEN 200 AND 299 OR response_status = 402)

-- record_answers_with_another_object: The answer is text, so no constraint ties it to the object of the key.
UNION ALL SELECT 'record_answers_with_another_object', account_id, resource_id,
  'the stored answer names another object, or none'
FROM idempotency_records
WHERE state = 'completed' AND CASE response_status
  WHEN 200 THEN false -- shows an object that existed before
  WHEN 402 THEN strpos(response_body, ':"' || resource_id || '"') = 0
  ELSE NOT starts_with(response_body, '{"id":"' || resource_id || '"')
    OR right(response_headers ->> 'Location', length(resource_id) + 1) <> '/' || resource_id END

-- record_epoch_below_attempts: Each attempt claims an epoch of its own. Two attempts in one epoch could both settle.
UNION ALL SELECT 'record_epoch_below_attempts', account_id, resource_id, 'epoch ' || epoch || ', attempts ' || attempts
FROM idempotency_records WHERE epoch < attempts;
