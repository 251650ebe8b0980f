-- Our rows against the processor's ledger, which says what customers paid and got back. The ledger comes in as
-- parameters, so `npm run audit` runs this file, and psql alone cannot:
--   $1 succeeded payments, $2 succeeded refunds, both as JSON   $3 name of the processor
--   $4 when the ledger was read   $5 where it starts   $6 seconds that recovery may take
--
-- Rows change while the ledger is read. So the charge of a payment may be pending until recovery had its time. And the
-- payment of a charge that was settled after $4 may be on a page that had been read before.
--
-- Our rows are looked up in the ledger by NOT IN, which is hashed. For NOT EXISTS PostgreSQL may choose a nested loop: it
-- takes the ledger for a hundred rows, and after a restore knows nothing of ours.

-- `names_ours`: the metadata is ours and complete. Other payments are found by their reference.
WITH paid AS (
  SELECT payment.reference, payment.amount, payment.currency, payment."order",
    COALESCE(shown.id, payment.charge) AS charge, COALESCE(shown.account_id, payment.account) AS account
  FROM json_to_recordset($1) AS payment (reference text, amount bigint, currency text, charge text, account text,
    "order" text, names_ours boolean)
  LEFT JOIN charges AS shown ON NOT payment.names_ours
    AND shown.processor_reference = payment.reference AND shown.processor = $3),
-- The payments of this installation, without those of the lab's naive lane.
ours AS (
  SELECT * FROM paid
  WHERE charge IS NOT NULL AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = paid.account)
    AND NOT EXISTS (SELECT 1 FROM naive_charges WHERE naive_charges.processor_reference = paid.reference)),
charged AS (
  SELECT ours.*, charge.id AS charge_id, charge.status AS charge_status, charge.amount AS charge_amount,
    charge.currency AS charge_currency, charge.amount_refunded, charge.created_at
  FROM ours LEFT JOIN charges AS charge ON charge.account_id = ours.account AND charge.id = ours.charge),
returned AS (
  SELECT * FROM json_to_recordset($2)
    AS refund (reference text, amount bigint, currency text, payment text, refund text, charge text, account text)),
ours_returned AS (
  SELECT * FROM returned
  WHERE refund IS NOT NULL AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = returned.account)),
refunded AS (
  SELECT back.*, row.id AS refund_id, row.status AS refund_status, row.amount AS refund_amount,
    row.currency AS refund_currency, row.charge_id, row.created_at, row.reversed_at
  FROM ours_returned AS back LEFT JOIN refunds AS row ON row.account_id = back.account AND row.id = back.refund)

-- payment_without_its_charge: Money was taken and no row knows it: the call went out before the reserve committed.
SELECT 'payment_without_its_charge' AS invariant, account AS account_id, reference AS id,
  'no charge ' || charge AS detail
FROM charged WHERE charge_id IS NULL

-- payment_of_a_failed_charge: We answered that nothing was taken. A late success is parked for a person to resolve.
UNION ALL SELECT 'payment_of_a_failed_charge', account, reference, charge || ' has failed'
FROM charged WHERE charge_status = 'failed' AND NOT EXISTS (SELECT 1 FROM parked_payments AS parked
  WHERE parked.account_id = charged.account AND parked.processor_reference = charged.reference)

-- payment_of_a_pending_charge: Each attempt to settle fails. The merchant does not ship, and the order cannot be paid.
UNION ALL SELECT 'payment_of_a_pending_charge', account, reference, charge || ' is pending since ' || created_at
FROM charged WHERE charge_status = 'pending' AND created_at < $4::timestamptz - $6 * interval '1 second'

-- payment_differs_from_its_charge: The customer paid another amount than the merchant sees.
UNION ALL SELECT 'payment_differs_from_its_charge', account, reference,
  concat_ws(' ', amount, currency, 'instead of', charge_amount, charge_currency)
FROM charged WHERE (amount, currency) <> (charge_amount, charge_currency)

-- charge_paid_twice: What this project exists to prevent.
UNION ALL SELECT 'charge_paid_twice', account, charge, count(*) || ' payments: ' || string_agg(reference, ', ')
FROM ours GROUP BY account, charge HAVING count(*) > 1

-- order_paid_twice: By two charges with two keys. An order has one live charge, so only a restore can cause this.
UNION ALL SELECT 'order_paid_twice', account, "order", count(*) || ' payments: ' || string_agg(reference, ', ')
FROM charged WHERE "order" IS NOT NULL AND amount_refunded < charge_amount
GROUP BY account, "order" HAVING count(*) > 1

-- payment_of_an_order_that_does_not_show_it: Found after a restore, when the order was gone or could not take the
-- payment. The charge keeps other charges from paying the order.
UNION ALL SELECT 'payment_of_an_order_that_does_not_show_it', account_id, id, 'the order is ' || lost_order_id
FROM charges WHERE lost_order_id IS NOT NULL AND status = 'succeeded' AND amount_refunded < amount

-- charge_without_its_payment: The merchant ships and was never paid: we read an answer as a success, and it was not
-- one.
UNION ALL SELECT 'charge_without_its_payment', account_id, id, 'no payment ' || processor_reference
FROM charges
WHERE status = 'succeeded' AND processor = $3 AND created_at >= $5::timestamptz AND settled_at <= $4::timestamptz
  AND (processor_reference, id) NOT IN (SELECT reference, charge FROM paid WHERE charge IS NOT NULL)

-- paid_refund_without_its_row: Money went back and no row knows it: the same amount could go back again.
UNION ALL SELECT 'paid_refund_without_its_row', account, reference, 'no refund ' || refund
FROM refunded WHERE refund_id IS NULL

-- paid_refund_of_a_pending_refund: Each attempt to settle fails. The merchant does not know, and cannot refund more.
UNION ALL SELECT 'paid_refund_of_a_pending_refund', account, reference, refund || ' is pending since ' || created_at
FROM refunded WHERE refund_status = 'pending' AND created_at < $4::timestamptz - $6 * interval '1 second'

-- paid_refund_differs_from_its_row: The customer got back another amount, or got it although our refund failed. A
-- refund that was reversed after $4 had succeeded until then.
UNION ALL SELECT 'paid_refund_differs_from_its_row', account, reference, concat_ws(' ', amount, currency, charge,
  'instead of', refund_status, refund_amount, refund_currency, charge_id)
FROM refunded
WHERE (refund_status = 'failed' AND COALESCE(reversed_at <= $4::timestamptz, true))
  OR (amount, currency, charge) <> (refund_amount, refund_currency, charge_id)

-- refund_paid_twice: As a charge that is paid twice, but the merchant loses the money.
UNION ALL SELECT 'refund_paid_twice', account, refund, count(*) || ' refunds: ' || string_agg(reference, ', ')
FROM ours_returned GROUP BY account, refund HAVING count(*) > 1

-- charge_refunded_less_than_its_payment: A refund was made in the processor's dashboard. We would give the
-- money back again.
UNION ALL SELECT 'charge_refunded_less_than_its_payment', charge.account_id, charge.id, concat_ws(' ', back.amount,
  charge.currency, 'went back in the processor’s dashboard,', booked.amount, 'is booked:', back.refunds)
FROM (SELECT payment, sum(amount) AS amount, array_agg(reference) AS names, array_agg(amount) AS amounts,
    string_agg(reference, ', ' ORDER BY reference) AS refunds
  FROM returned WHERE NOT EXISTS (SELECT 1 FROM ours_returned WHERE ours_returned.reference = returned.reference)
  GROUP BY payment) AS back
JOIN charges AS charge ON charge.processor_reference = back.payment AND charge.processor = $3
  AND charge.status = 'succeeded'
CROSS JOIN LATERAL (SELECT COALESCE(sum(refund.amount), 0) AS amount FROM refunds AS refund
  WHERE refund.account_id = charge.account_id AND refund.charge_id = charge.id
    AND refund.processor_reference = ANY(back.names)
    AND (refund.status = 'succeeded' OR refund.reversed_at > $4::timestamptz)) AS booked
WHERE booked.amount <> back.amount
  -- It may be one of ours that lost its metadata in the dashboard. That is known when the pending one has ended.
  AND NOT EXISTS (SELECT 1 FROM refunds AS pending
    WHERE pending.account_id = charge.account_id AND pending.charge_id = charge.id AND pending.status = 'pending'
      AND pending.amount = ANY(back.amounts) AND pending.created_at >= $4::timestamptz - $6 * interval '1 second')

-- refund_that_was_never_paid: We answered that the money goes back. It never did, or it came back later. A refund that
-- was made or edited in the processor's dashboard may name none of ours.
UNION ALL SELECT 'refund_that_was_never_paid', account_id, id, 'no refund ' || processor_reference
FROM refunds
WHERE status = 'succeeded' AND processor = $3 AND created_at >= $5::timestamptz AND settled_at <= $4::timestamptz
  AND processor_reference NOT IN (SELECT reference FROM returned WHERE refund IS NULL)
  AND (processor_reference, id) NOT IN (SELECT reference, refund FROM returned WHERE refund IS NOT NULL);
