import type { Invariant } from './invariant.js';
import { threeBeatInvariants } from './three-beats.invariants.js';

/** Charges and refunds. Many repeat a CHECK constraint: those can be dropped. */
export const CHARGE_INVARIANTS: readonly Invariant[] = [
  ...threeBeatInvariants('charge'),
  {
    name: 'charge_with_parameters_in_another_currency',
    why: 'As above; a refund is in the currency of its payment and does not name one.',
    sql: `SELECT account_id, id, currency || ' is not in the parameters' AS detail
      FROM charges WHERE strpos(processor_parameters, '"currency":"' || currency || '"') = 0`,
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
    name: 'parked_payment_that_its_charge_contradicts',
    why: 'Parked is what no charge accounts for: a success after the failure, a second payment, another amount.',
    sql: `SELECT parked.account_id, parked.charge_id AS id,
        concat_ws(' ', parked.processor_reference, parked.reason || ', the charge is', COALESCE(charge.status, 'absent'))
          AS detail
      FROM parked_payments AS parked
      LEFT JOIN charges AS charge ON charge.account_id = parked.account_id AND charge.id = parked.charge_id
      WHERE CASE parked.reason
        WHEN 'succeeded_after_failed' THEN charge.status IS DISTINCT FROM 'failed'
        WHEN 'second_payment' THEN parked.processor_reference IS NOT DISTINCT FROM charge.processor_reference
        ELSE charge.id IS NULL END`,
  },
  ...threeBeatInvariants('refund'),
  {
    name: 'refund_of_no_such_payment',
    why: 'Only what was taken goes back, and in the currency in which it was taken.',
    sql: `SELECT refund.account_id, refund.id, 'the charge is ' || COALESCE(charge.status || ' ' || charge.currency, 'absent')
          AS detail
      FROM refunds AS refund
      LEFT JOIN charges AS charge ON charge.account_id = refund.account_id AND charge.id = refund.charge_id
      WHERE (charge.status, charge.currency) IS DISTINCT FROM ('succeeded', refund.currency)`,
  },
  {
    name: 'refunds_exceed_their_charge',
    why: 'What is on its way counts too, of those that we made: one that was made elsewhere asks no lock of ours.',
    sql: `SELECT charge.account_id, charge.id, sum(refund.amount) || ' of ' || charge.amount AS detail
      FROM charges AS charge
      JOIN refunds AS refund ON refund.account_id = charge.account_id AND refund.charge_id = charge.id
      WHERE refund.status <> 'failed'
      GROUP BY charge.account_id, charge.id
      HAVING sum(refund.amount) FILTER (WHERE refund.rebuilt_at IS NULL) > charge.amount
        OR sum(refund.amount) FILTER (WHERE refund.status = 'succeeded') > charge.amount`,
  },
  {
    name: 'charge_refunded_is_not_the_sum_of_its_refunds',
    why: 'The sum is kept beside the charge; the settle of a refund moves both.',
    sql: `SELECT charge.account_id, charge.id, charge.amount_refunded || ' instead of ' || refunded.amount AS detail
      FROM charges AS charge
      CROSS JOIN LATERAL (SELECT COALESCE(sum(refund.amount), 0) AS amount FROM refunds AS refund
        WHERE refund.account_id = charge.account_id AND refund.charge_id = charge.id
          AND refund.status = 'succeeded') AS refunded
      WHERE charge.amount_refunded <> refunded.amount`,
  },
];
