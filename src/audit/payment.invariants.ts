import type { Invariant } from './invariant.js';

/**
 * Our books against the ground truth of what customers paid and got back. `paid` holds the processor's succeeded
 * payments; `ours` are those whose account is one of this installation, less those of the lab's naive lane. `returned`
 * and `ours_returned` are the same of refunds. The names in them are ours: `compareWithProcessor` says how.
 *
 * A payment whose charge is still pending is no fault while recovery has time left (`$6`, in seconds): that is the gap
 * between the second beat and the third. After that it is one, even if recovery is still trying (`record_overdue`
 * reports only what it does not try).
 */
export const PAYMENT_INVARIANTS: readonly Invariant[] = [
  {
    name: 'payment_without_its_charge',
    why: 'Money was taken and no row knows of it: the processor was called before the reserve had committed.',
    sql: `SELECT ours.account AS account_id, ours.reference AS id, 'no charge ' || ours.charge AS detail
      FROM ours LEFT JOIN charges AS charge ON charge.account_id = ours.account AND charge.id = ours.charge
      WHERE charge.id IS NULL`,
  },
  {
    name: 'payment_of_a_failed_charge',
    why: 'The merchant was told that nothing was taken. A success that came too late is parked for a person to see.',
    sql: `SELECT ours.account AS account_id, ours.reference AS id, ours.charge || ' has failed' AS detail
      FROM ours JOIN charges AS charge ON charge.account_id = ours.account AND charge.id = ours.charge
      WHERE charge.status = 'failed' AND NOT EXISTS (
        SELECT 1 FROM parked_payments AS parked
        WHERE parked.account_id = ours.account AND parked.processor_reference = ours.reference)`,
  },
  {
    name: 'payment_of_a_pending_charge',
    why: 'Money was taken and each attempt to settle fails: the merchant does not ship, and the order cannot be paid.',
    sql: `SELECT ours.account AS account_id, ours.reference AS id,
        concat(ours.charge, ' is pending since ', charge.created_at) AS detail
      FROM ours JOIN charges AS charge ON charge.account_id = ours.account AND charge.id = ours.charge
      WHERE charge.status = 'pending' AND charge.created_at < $4::timestamptz - $6 * interval '1 second'`,
  },
  {
    name: 'payment_differs_from_its_charge',
    why: 'The customer paid something else than the merchant believes.',
    sql: `SELECT ours.account AS account_id, ours.reference AS id,
        concat_ws(' ', ours.amount, ours.currency, 'instead of', charge.amount, charge.currency) AS detail
      FROM ours JOIN charges AS charge ON charge.account_id = ours.account AND charge.id = ours.charge
      WHERE (ours.amount, ours.currency) <> (charge.amount, charge.currency)`,
  },
  {
    name: 'charge_paid_twice',
    why: 'What this project is there to prevent.',
    sql: `SELECT account AS account_id, charge AS id, count(*) || ' payments: ' || string_agg(reference, ', ') AS detail
      FROM ours GROUP BY account, charge HAVING count(*) > 1`,
  },
  {
    name: 'order_paid_twice',
    why: 'By two charges, with two keys: possible after a restore only, since an order has one live charge.',
    sql: `SELECT ours.account AS account_id, ours."order" AS id,
        count(*) || ' payments: ' || string_agg(ours.reference, ', ') AS detail
      FROM ours JOIN charges AS charge ON charge.account_id = ours.account AND charge.id = ours.charge
      WHERE ours."order" IS NOT NULL AND charge.amount_refunded < charge.amount
      GROUP BY ours.account, ours."order" HAVING count(*) > 1`,
  },
  {
    name: 'payment_of_an_order_that_does_not_show_it',
    why: 'Found after a restore, when the order was gone or could not take it; its charge keeps others from paying.',
    sql: `SELECT account_id, id, 'the order is ' || lost_order_id AS detail
      FROM charges WHERE lost_order_id IS NOT NULL AND status = 'succeeded' AND amount_refunded < amount`,
  },
  {
    name: 'charge_without_its_payment',
    why: 'The merchant ships and was never paid: an answer was taken for a success that was none.',
    // Settled before the ledger was read: a later one may have its payment on a page that had passed already.
    sql: `SELECT charge.account_id, charge.id, 'no payment ' || charge.processor_reference AS detail
      FROM charges AS charge
      WHERE charge.status = 'succeeded' AND charge.processor = $3
        AND charge.created_at >= $5::timestamptz AND charge.settled_at <= $4::timestamptz
        AND NOT EXISTS (SELECT 1 FROM paid
          WHERE paid.reference = charge.processor_reference AND paid.charge = charge.id)`,
  },
  {
    name: 'paid_refund_without_its_row',
    why: 'Money went back and no row knows of it: the same amount could go back again.',
    sql: `SELECT back.account AS account_id, back.reference AS id, 'no refund ' || back.refund AS detail
      FROM ours_returned AS back LEFT JOIN refunds AS refund ON refund.account_id = back.account AND refund.id = back.refund
      WHERE refund.id IS NULL`,
  },
  {
    name: 'paid_refund_of_a_pending_refund',
    why: 'Money went back and each attempt to settle fails: the merchant does not know, and nothing more can be refunded.',
    sql: `SELECT back.account AS account_id, back.reference AS id,
        concat(back.refund, ' is pending since ', refund.created_at) AS detail
      FROM ours_returned AS back JOIN refunds AS refund ON refund.account_id = back.account AND refund.id = back.refund
      WHERE refund.status = 'pending' AND refund.created_at < $4::timestamptz - $6 * interval '1 second'`,
  },
  {
    name: 'paid_refund_differs_from_its_row',
    why: 'The customer got back something else than the merchant believes, or got it although it had failed.',
    sql: `SELECT back.account AS account_id, back.reference AS id, concat_ws(' ', back.amount, back.currency, back.charge,
        'instead of', refund.status, refund.amount, refund.currency, refund.charge_id) AS detail
      FROM ours_returned AS back JOIN refunds AS refund ON refund.account_id = back.account AND refund.id = back.refund
      -- One that was reversed after the ledger was read had succeeded until then.
      WHERE (refund.status = 'failed' AND COALESCE(refund.reversed_at <= $4::timestamptz, true))
        OR (back.amount, back.currency, back.charge) <> (refund.amount, refund.currency, refund.charge_id)`,
  },
  {
    name: 'refund_paid_twice',
    why: 'As a charge that is paid twice, to the loss of the merchant.',
    sql: `SELECT account AS account_id, refund AS id, count(*) || ' refunds: ' || string_agg(reference, ', ') AS detail
      FROM ours_returned GROUP BY account, refund HAVING count(*) > 1`,
  },
  {
    name: 'charge_refunded_less_than_its_payment',
    why: 'Somebody gave money back at the processor’s desk, and our books would give it back again.',
    sql: `SELECT charge.account_id, charge.id, concat_ws(' ', back.amount, charge.currency,
          'went back at the processor’s desk,', booked.amount, 'is booked:', back.refunds) AS detail
      FROM (SELECT payment, sum(amount) AS amount, array_agg(reference) AS names, array_agg(amount) AS amounts,
          string_agg(reference, ', ' ORDER BY reference) AS refunds
        FROM returned AS each WHERE NOT EXISTS (SELECT 1 FROM ours_returned WHERE ours_returned.reference = each.reference)
        GROUP BY payment) AS back
      JOIN charges AS charge ON charge.processor_reference = back.payment AND charge.processor = $3
        AND charge.status = 'succeeded'
      CROSS JOIN LATERAL (SELECT COALESCE(sum(refund.amount), 0) AS amount FROM refunds AS refund
        WHERE refund.account_id = charge.account_id AND refund.charge_id = charge.id
          AND refund.processor_reference = ANY(back.names)
          AND (refund.status = 'succeeded' OR refund.reversed_at > $4::timestamptz)) AS booked
      WHERE booked.amount <> back.amount
        -- It may be one of ours, whose names were edited away there: that is known when the pending one has ended.
        AND NOT EXISTS (SELECT 1 FROM refunds AS pending
          WHERE pending.account_id = charge.account_id AND pending.charge_id = charge.id AND pending.status = 'pending'
            AND pending.amount = ANY(back.amounts) AND pending.created_at >= $4::timestamptz - $6 * interval '1 second')`,
  },
  {
    name: 'refund_that_was_never_paid',
    why: 'The customer was told that the money is on its way, or it came back since and nobody was told.',
    sql: `SELECT refund.account_id, refund.id, 'no refund ' || refund.processor_reference AS detail
      FROM refunds AS refund
      WHERE refund.status = 'succeeded' AND refund.processor = $3
        AND refund.created_at >= $5::timestamptz AND refund.settled_at <= $4::timestamptz
        AND NOT EXISTS (SELECT 1 FROM returned
          WHERE returned.reference = refund.processor_reference
            -- One that was made or edited at the processor's own desk names none of ours.
            AND COALESCE(returned.refund, refund.id) = refund.id)`,
  },
];
