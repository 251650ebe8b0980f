import { randomUUID } from 'node:crypto';
import type { Finding } from '../audit/invariant.js';
import { compareWithProcessor, readLedger, type Ledger } from '../audit/processor-comparison.js';
import { isOurPayment, type OurPayment } from '../charges/rebuild-charge.js';
import type { Database, Queryable, Tx } from '../database/database.js';
import type { PaidRefund, Processor, Span } from '../processor/processor.js';
import { isOurRefund, type OurRefund } from '../refunds/rebuild-refund.js';
import { repairPayment, repairRefund, repairRefundOfPayment, type Note } from './repair.js';

/**
 * How far beyond the span the ledger is read, in ms: a charge reserved in its last second may be taken minutes later.
 * Longer than the longest CHARGE_DEADLINE_SECONDS; shorter reports charges whose payment lies just outside.
 */
const MARGIN_MS = 2 * 3_600_000;

export interface Reconciliation {
  payments: number;
  refunds: number;
  /** Payments and refunds of accounts that this database does not have: another installation's, or lost accounts. */
  elsewhere: number;
  /** All differences, including those that were repaired. */
  differences: number;
}

/**
 * Compares the processor's ledger of a span with our rows, both ways, and repairs what is safe to repair:
 * - A payment or refund of ours without a row gets its row back, under its old id.
 * - A success of a failed charge is parked.
 * - A refund that was made in the processor's dashboard is booked.
 * - A refund that failed after it had succeeded fails here as well.
 *
 * Safe to repeat, and to run while charges are made: it never changes reserved objects. Proof:
 * test/reconciliation/restore.spec.ts, test/white-box/reconciliation/.
 *
 * @param report called with each difference as soon as it is found.
 * @param recoverySeconds as in `ComparisonOptions`.
 * @throws the SDK's error if the ledger cannot be read; then nothing was changed.
 */
export async function reconcile(
  db: Database,
  processor: Processor,
  { from, to }: Span,
  report: (difference: Finding) => void,
  recoverySeconds?: number,
): Promise<Reconciliation> {
  const ledger = await readLedger(db, processor, {
    from: new Date(Math.max(from.getTime() - MARGIN_MS, 0)),
    to: new Date(to.getTime() + MARGIN_MS),
  });
  const run = `rec_${randomUUID()}`;
  await db.query(`INSERT INTO reconciliation_runs (id, span_from, span_to) VALUES ($1, $2, $3)`, [
    run,
    from.toISOString(),
    to.toISOString(),
  ]);
  let differences = 0;
  const add = async (db: Queryable, finding: Finding, repaired: boolean): Promise<void> => {
    const { invariant, account_id, id, detail } = finding;
    await db.query(
      `INSERT INTO reconciliation_differences (run_id, what, account_id, object_id, detail, repaired)
       VALUES ($1, $2, $3, $4, $5, $6)`,
      [run, invariant, account_id, id, detail, repaired],
    );
    differences += 1;
    report(finding);
  };
  const elsewhere = await repairAll(db, processor, ledger, (tx, finding) => add(tx, finding, true));
  const left = await compareWithProcessor(db, processor, { ledger, from, recoverySeconds });
  for (const finding of left) await add(db, finding, false);
  await db.query(`UPDATE reconciliation_runs SET ended_at = now() WHERE id = $1`, [run]);
  const { payments, refunds } = ledger;
  return { payments: payments.length, refunds: refunds.length, elsewhere, differences };
}

/**
 * Oldest first, payments before refunds, because a refund needs its charge. Failed refunds before succeeded ones,
 * because a failure frees the amount that a success may use.
 * @returns how many were skipped because this database does not have their account.
 */
async function repairAll(
  db: Database,
  processor: Processor,
  { payments, refunds, failedRefunds }: Ledger,
  add: (tx: Tx, finding: Finding) => Promise<void>,
): Promise<number> {
  const ours = { payments: payments.filter(isOurPayment), refunds: refunds.filter(isOurRefund) };
  const accounts = await accountsOf(db, [...ours.payments, ...ours.refunds]);
  const known = await accountedFor(db, ours);
  const returned = new Map<string, number>();
  for (const { payment, amount } of refunds)
    if (payment !== undefined) returned.set(payment, (returned.get(payment) ?? 0) + amount);
  let elsewhere = 0;
  for (const payment of ours.payments.reverse()) {
    const { account, charge, amount } = payment;
    if (!accounts.has(account)) elsewhere += 1;
    else if (!known.has(payment.reference)) {
      const wholly = (returned.get(payment.reference) ?? 0) >= amount;
      await repairPayment(db, processor, payment, noteOf(charge, payment, add), wholly);
    }
  }
  await repairByPayment(db, processor, failedRefunds, add);
  for (const refund of ours.refunds.reverse()) {
    if (!accounts.has(refund.account)) elsewhere += 1;
    else if (!known.has(refund.reference))
      await repairRefund(db, processor, refund, noteOf(refund.refund, refund, add));
  }
  const foreign = refunds.filter((refund) => !isOurRefund(refund)).reverse();
  await repairByPayment(db, processor, foreign, add);
  return elsewhere;
}

/** For refunds without our ids: their payment identifies the charge. */
async function repairByPayment(
  db: Database,
  processor: Processor,
  refunds: PaidRefund[],
  add: (tx: Tx, finding: Finding) => Promise<void>,
): Promise<void> {
  const charges = await chargesWithout(db, processor, refunds);
  for (const paid of refunds) {
    const charge = charges.get(paid.reference);
    if (!charge) continue;
    const of = { ...paid, account: charge.account_id };
    await repairRefundOfPayment(db, processor, charge, paid, (id) => noteOf(id, of, add));
  }
}

/** The charges that lack a refund, or show it in another state, by the refund's reference. One query, no locks. */
async function chargesWithout(
  db: Database,
  processor: Processor,
  refunds: PaidRefund[],
): Promise<Map<string, { account_id: string; id: string }>> {
  const rows = await db.query<{ reference: string; account_id: string; id: string }>(
    `SELECT back.reference, charge.account_id, charge.id
     FROM unnest($2::text[], $3::text[], $4::text[]) AS back (reference, payment, kind)
     JOIN charges AS charge ON charge.processor_reference = back.payment AND charge.processor = $1
       AND charge.status = 'succeeded'
     LEFT JOIN refunds AS refund
       ON refund.account_id = charge.account_id AND refund.processor_reference = back.reference
     WHERE refund.id IS NULL OR (back.kind <> 'succeeded' AND refund.status = 'succeeded')`,
    [
      processor.name,
      refunds.map(({ reference }) => reference),
      refunds.map(({ payment }) => payment ?? null),
      refunds.map(({ answer }) => answer.kind),
    ],
  );
  return new Map(rows.map(({ reference, ...charge }) => [reference, charge]));
}

function noteOf(
  id: string,
  paid: { account: string; amount: number; currency: string; reference: string },
  add: (tx: Tx, finding: Finding) => Promise<void>,
): Note {
  const detail = `${paid.amount} ${paid.currency}, ${paid.reference}`;
  return (tx, what) => add(tx, { invariant: what, account_id: paid.account, id, detail });
}

/**
 * The references that our rows show already, which is nearly all of them. One query instead of several for each; no
 * locks.
 */
async function accountedFor(
  db: Database,
  { payments, refunds }: { payments: OurPayment[]; refunds: OurRefund[] },
): Promise<Set<string>> {
  const rows = await db.query<{ reference: string }>(
    `SELECT reference FROM unnest($1::text[], $2::text[], $3::text[]) AS paid (account_id, id, reference)
     JOIN charges USING (account_id, id)
     WHERE status = 'succeeded' AND processor_reference = reference AND lost_order_id IS NULL
     UNION ALL
     SELECT reference FROM unnest($4::text[], $5::text[], $6::text[]) AS returned (account_id, id, reference)
     JOIN refunds USING (account_id, id)
     WHERE status = 'succeeded' AND processor_reference = reference`,
    [
      payments.map(({ account }) => account),
      payments.map(({ charge }) => charge),
      payments.map(({ reference }) => reference),
      refunds.map(({ account }) => account),
      refunds.map(({ refund }) => refund),
      refunds.map(({ reference }) => reference),
    ],
  );
  return new Set(rows.map(({ reference }) => reference));
}

async function accountsOf(db: Database, paid: { account: string }[]) {
  const rows = await db.query<{ id: string }>(`SELECT id FROM accounts WHERE id = ANY($1)`, [
    [...new Set(paid.map(({ account }) => account))],
  ]);
  return new Set(rows.map(({ id }) => id));
}
