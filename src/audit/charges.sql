-- Charges and their refunds, each with its idempotency record; and parked payments.
--   psql "$DATABASE_URL" -f src/audit/charges.sql    one row for each broken invariant; no rows: nothing found

-- Stored answers live for IDEMPOTENCY_TTL_SECONDS, seven days if it is not set. For another value:
--   psql "$DATABASE_URL" -c 'SET audit.ttl_seconds = 3600' -f src/audit/charges.sql
WITH setting AS (
  SELECT COALESCE(NULLIF(current_setting('audit.ttl_seconds', true), '')::float8, 604800) * interval '1 second' AS ttl),
made AS NOT MATERIALIZED (
  SELECT 'charge' AS object, account_id, id, status, amount, currency, processor_parameters, settled_at, rebuilt_at,
    true AS is_retried, 402 AS status_if_failed
  FROM charges
  UNION ALL
  SELECT 'refund', account_id, id, status, amount, currency, processor_parameters, settled_at, rebuilt_at,
    cause IS NULL OR settled_at IS NULL, -- no client retries a refund that we owe; it needs its record until it ends
    CASE WHEN reversed_at IS NULL THEN 402 ELSE 201 END -- the answer is a snapshot: this refund failed after a success
  FROM refunds),
answered AS NOT MATERIALIZED (
  SELECT made.*, record.response_status, record.response_body
  FROM made JOIN idempotency_records AS record
    ON record.account_id = made.account_id AND record.resource_id = made.id),
refunded AS (
  SELECT account_id, charge_id AS id, sum(amount) FILTER (WHERE status = 'succeeded') AS returned,
    sum(amount) FILTER (WHERE status <> 'failed' AND rebuilt_at IS NULL) AS promised
  FROM refunds GROUP BY account_id, charge_id)

-- charge_without_its_record, refund_without_its_record: The sweep must find a pending object, and a
-- retry must find the answer while the key lives.
SELECT object || '_without_its_record' AS invariant, account_id, id, status || ', but no record' AS detail
FROM made CROSS JOIN setting
WHERE is_retried AND rebuilt_at IS NULL AND COALESCE(settled_at > now() - ttl, true)
  AND NOT EXISTS (SELECT 1 FROM idempotency_records AS record
    WHERE record.account_id = made.account_id AND record.resource_id = made.id)

-- charge_contradicts_its_answer, refund_contradicts_its_answer: Settle writes both. The client believes the answer: 201
-- says that the money moved, 402 that it did not. No process works on a completed record, so a pending object with an
-- answer would stay pending forever. An ended object without one cannot end again, and no retry would get its answer.
-- (A CHECK ties the state of the record to its answer.)
UNION ALL SELECT object || '_contradicts_its_answer', account_id, id,
  status || ', ' || COALESCE('answered ' || response_status, 'not answered')
FROM answered
WHERE response_status IS DISTINCT FROM CASE status WHEN 'succeeded' THEN 201 WHEN 'failed' THEN status_if_failed END

-- charge_answered_with_another_amount, refund_answered_with_another_amount: Amount and currency never change, so a
-- snapshot of any age shows them.
UNION ALL SELECT object || '_answered_with_another_amount', account_id, id,
  amount || ' ' || currency || ' is not in the answer'
FROM answered
WHERE response_status = 201 AND (strpos(response_body, '"amount":' || amount || ',') = 0
  OR strpos(response_body, '"currency":"' || currency || '"') = 0)

-- charge_with_parameters_of_another, refund_with_parameters_of_another: Every retry sends the stored text. It must move
-- this amount, under this id, for this account. A refund names no currency: it has that of its payment.
UNION ALL SELECT object || '_with_parameters_of_another', account_id, id, 'amount, currency, account or the id differs'
FROM made
WHERE strpos(processor_parameters, '"amount":' || amount || ',') = 0
  OR strpos(processor_parameters, '"' || object || '":"' || id || '"') = 0
  OR strpos(processor_parameters, '"account":"' || account_id || '"') = 0
  OR (object = 'charge' AND strpos(processor_parameters, '"currency":"' || currency || '"') = 0)

-- charges_share_a_processor_reference: One payment would be shown as two. No unique index spans accounts: the tables
-- can be sharded by account.
UNION ALL SELECT 'charges_share_a_processor_reference', min(account_id), min(id),
  count(*) || ' charges for ' || processor_reference
FROM (SELECT account_id, id, processor_reference FROM charges WHERE processor_reference IS NOT NULL
  UNION ALL SELECT account_id, id, processor_reference FROM naive_charges) AS charge
GROUP BY processor_reference HAVING count(*) > 1

-- parked_payment_that_its_charge_contradicts: A payment is parked because no charge accounts for it: it succeeded after
-- the failure, it is the second one, or its amount differs.
UNION ALL SELECT 'parked_payment_that_its_charge_contradicts', parked.account_id, parked.charge_id,
  concat_ws(' ', parked.processor_reference, parked.reason || ', the charge is', COALESCE(charge.status, 'absent'))
FROM parked_payments AS parked
LEFT JOIN charges AS charge ON charge.account_id = parked.account_id AND charge.id = parked.charge_id
WHERE CASE parked.reason
  WHEN 'succeeded_after_failed' THEN charge.status IS DISTINCT FROM 'failed'
  WHEN 'second_payment' THEN parked.processor_reference IS NOT DISTINCT FROM charge.processor_reference
  ELSE charge.id IS NULL END

-- refund_of_no_such_payment: Only a payment that succeeded is refunded, in its own currency.
UNION ALL SELECT 'refund_of_no_such_payment', refund.account_id, refund.id,
  'the charge is ' || charge.status || ' ' || charge.currency
FROM refunds AS refund JOIN charges AS charge ON charge.account_id = refund.account_id AND charge.id = refund.charge_id
WHERE (charge.status, charge.currency) <> ('succeeded', refund.currency)

-- refunds_exceed_their_charge: Our pending refunds count, too. A refund that was made elsewhere does not take our lock.
UNION ALL SELECT 'refunds_exceed_their_charge', account_id, id, GREATEST(promised, returned) || ' of ' || amount
FROM charges JOIN refunded USING (account_id, id) WHERE GREATEST(promised, returned) > amount

-- charge_refunded_is_not_the_sum_of_its_refunds: The charge keeps the sum. The settle of a refund changes both.
UNION ALL SELECT 'charge_refunded_is_not_the_sum_of_its_refunds', account_id, id,
  amount_refunded || ' instead of ' || COALESCE(returned, 0)
FROM charges LEFT JOIN refunded USING (account_id, id) WHERE amount_refunded <> COALESCE(returned, 0);
