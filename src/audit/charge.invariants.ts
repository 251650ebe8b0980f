import type { Invariant } from './invariant.js';

const CHARGE_AND_RECORD = `charges AS charge JOIN idempotency_records AS record
        ON record.account_id = charge.account_id AND record.resource_id = charge.id`;

/** Charges by themselves, and beside their records. Most are CHECK constraints too: those can be dropped. */
export const CHARGE_INVARIANTS: readonly Invariant[] = [
  {
    name: 'charge_without_its_record',
    why: 'While the key lives a retry must find the answer, and while the charge is pending the sweep must find it.',
    sql: `SELECT charge.account_id, charge.id, charge.status || ', but no record' AS detail
      FROM charges AS charge
      WHERE COALESCE(charge.settled_at > now() - $1 * interval '1 second', true) AND NOT EXISTS (
        SELECT 1 FROM idempotency_records AS record
        WHERE record.account_id = charge.account_id AND record.resource_id = charge.id)`,
  },
  {
    name: 'charge_pending_but_its_record_completed',
    why: 'Nobody works on a completed record: this charge would stay pending for ever.',
    sql: `SELECT charge.account_id, charge.id, 'answered ' || record.response_status AS detail
      FROM ${CHARGE_AND_RECORD}
      WHERE charge.status = 'pending' AND record.state = 'completed'`,
  },
  {
    name: 'charge_ended_but_its_record_in_progress',
    why: 'Settle writes both: the next attempt could not end this charge, and no retry would get its answer.',
    sql: `SELECT charge.account_id, charge.id, charge.status AS detail
      FROM ${CHARGE_AND_RECORD}
      WHERE charge.status <> 'pending' AND record.state = 'in_progress'`,
  },
  {
    name: 'charge_contradicts_its_answer',
    why: 'The client believes the answer: 201 is paid and 402 is not.',
    sql: `SELECT charge.account_id, charge.id, charge.status || ', answered ' || record.response_status AS detail
      FROM ${CHARGE_AND_RECORD}
      WHERE record.response_status <> CASE charge.status WHEN 'succeeded' THEN 201 WHEN 'failed' THEN 402 END`,
  },
  {
    name: 'charge_answered_with_another_amount',
    why: 'Amount and currency never change, so that a snapshot of any age shows them.',
    sql: `SELECT charge.account_id, charge.id, charge.amount || ' ' || charge.currency || ' is not in the answer' AS detail
      FROM ${CHARGE_AND_RECORD}
      WHERE record.response_status = 201
        AND (strpos(record.response_body, '"amount":' || charge.amount || ',') = 0
          OR strpos(record.response_body, '"currency":"' || charge.currency || '"') = 0)`,
  },
  {
    name: 'charge_with_parameters_of_another',
    why: 'Every repeat sends the stored text: it must take this amount, under this name, for this account.',
    sql: `SELECT account_id, id, 'amount, currency, charge or account differs' AS detail
      FROM charges
      WHERE strpos(processor_parameters, '"amount":' || amount || ',') = 0
        OR strpos(processor_parameters, '"currency":"' || currency || '"') = 0
        OR strpos(processor_parameters, '"charge":"' || id || '"') = 0
        OR strpos(processor_parameters, '"account":"' || account_id || '"') = 0`,
  },
  {
    name: 'charge_succeeded_without_processor_reference',
    why: 'Paid, says who? Without the reference nobody can show or refund the payment.',
    sql: `SELECT account_id, id, 'no processor_reference' AS detail
      FROM charges WHERE status = 'succeeded' AND processor_reference IS NULL`,
  },
  {
    name: 'charges_share_a_processor_reference',
    why: 'One payment would be shown as two; across accounts no unique index can say so (it would not shard).',
    sql: `SELECT min(account_id) AS account_id, min(id) AS id, count(*) || ' charges for ' || processor_reference AS detail
      FROM (SELECT account_id, id, processor_reference FROM charges
        UNION ALL SELECT account_id, id, processor_reference FROM naive_charges) AS every
      WHERE processor_reference IS NOT NULL
      GROUP BY processor_reference HAVING count(*) > 1`,
  },
  {
    name: 'charge_of_unknown_status',
    why: 'A state that is in no list is moved on by nobody.',
    sql: `SELECT account_id, id, status AS detail
      FROM charges WHERE status NOT IN ('pending', 'succeeded', 'failed')`,
  },
  {
    name: 'charge_failure_code_contradicts_its_status',
    why: 'A failed charge says why; any other has nothing to say.',
    sql: `SELECT account_id, id, status || ', failure_code ' || COALESCE(failure_code, 'absent') AS detail
      FROM charges WHERE (status = 'failed') <> (failure_code IS NOT NULL)`,
  },
  {
    name: 'charge_settled_at_contradicts_its_status',
    why: 'A charge is pending until it is settled, and from then on never again.',
    sql: `SELECT account_id, id, status || ', settled_at ' || COALESCE(settled_at::text, 'absent') AS detail
      FROM charges WHERE (status = 'pending') <> (settled_at IS NULL)`,
  },
  {
    name: 'charge_refunded_beyond_its_amount',
    why: 'Never does more go back than was taken.',
    sql: `SELECT account_id, id, amount_refunded || ' of ' || amount AS detail
      FROM charges WHERE amount_refunded NOT BETWEEN 0 AND amount`,
  },
  {
    name: 'charge_refunded_but_not_succeeded',
    why: 'What was not taken cannot go back.',
    sql: `SELECT account_id, id, status || ', refunded ' || amount_refunded AS detail
      FROM charges WHERE status <> 'succeeded' AND amount_refunded <> 0`,
  },
  {
    name: 'parked_payment_without_its_failed_charge',
    why: 'Only a success that came after the failure was stored is parked; any other settles its charge.',
    sql: `SELECT parked.account_id, parked.charge_id AS id,
        parked.processor_reference || ' is parked, the charge is ' || COALESCE(charge.status, 'absent') AS detail
      FROM parked_payments AS parked
      LEFT JOIN charges AS charge ON charge.account_id = parked.account_id AND charge.id = parked.charge_id
      WHERE charge.status IS DISTINCT FROM 'failed'`,
  },
];
