import type { Tx } from '../platform/database.js';
import type { Processor } from '../processor/processor.js';
import { asOneQuery, type Finding, type Invariant } from './invariant.js';

/**
 * Our books against the ground truth of what customers paid. `paid` holds the processor's succeeded payments;
 * `ours` are those whose account is one of this installation, less those of the lab's naive lane.
 *
 * A payment whose charge is still pending is no fault: that is the gap between the second beat and the third, and
 * `record_overdue` reports the charge that stays there.
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
    name: 'charge_without_its_payment',
    why: 'The merchant ships and was never paid: an answer was taken for a success that was none.',
    // Settled before the ledger was read: a later one may have its payment on a page that had passed already.
    sql: `SELECT charge.account_id, charge.id, 'no payment ' || charge.processor_reference AS detail
      FROM charges AS charge
      WHERE charge.status = 'succeeded' AND charge.processor = $2 AND charge.settled_at <= $3::timestamptz
        AND NOT EXISTS (SELECT 1 FROM paid
          WHERE paid.reference = charge.processor_reference AND paid.charge = charge.id)`,
  },
];

/**
 * Compares both ways. May run while charges are made: rows are looked at after the payments that they explain.
 * Reads the whole ledger, page by page, and keeps it in memory: made for tests and for test mode.
 * @returns nothing, when both ledgers tell the same.
 */
export async function compareWithProcessor(db: Tx, processor: Processor): Promise<Finding[]> {
  // As text: a JavaScript Date would cut the microseconds off.
  const [start]: { time: string }[] = await db.query(`SELECT clock_timestamp()::text AS time`);
  const paid: object[] = [];
  for await (const {
    answer,
    reference,
    amount,
    currency,
    charge,
    account,
  } of processor.payments()) {
    if (answer.kind === 'succeeded') paid.push({ reference, amount, currency, charge, account });
  }
  return db.query(
    `WITH paid AS (
       SELECT * FROM json_to_recordset($1)
         AS payment (reference text, amount bigint, currency text, charge text, account text)),
     ours AS (
       SELECT * FROM paid
       WHERE charge IS NOT NULL AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = paid.account)
         AND NOT EXISTS (SELECT 1 FROM naive_charges WHERE naive_charges.processor_reference = paid.reference))
     ${asOneQuery(PAYMENT_INVARIANTS)} ORDER BY invariant, account_id, id`,
    [JSON.stringify(paid), processor.name, start?.time],
  );
}
