import { isOurPayment } from '../charges/rebuild-charge.js';
import type { Database } from '../database/database.js';
import type { PaidRefund, Payment, Processor, Span } from '../processor/processor.js';
import { isOurRefund } from '../refunds/rebuild-refund.js';
import { asOneQuery, type Finding } from './invariant.js';
import { PAYMENT_INVARIANTS } from './payment.invariants.js';

/** What the processor says that it has taken and given back. */
export interface Ledger {
  payments: Payment[];
  refunds: PaidRefund[];
  /** The refunds that ended otherwise, also those that had succeeded before. */
  failedRefunds: PaidRefund[];
  /** What was settled later may have its payment on a page that had been read already. */
  readAt: string;
  /** The first moment that it tells of; all of it, if left out. */
  from?: Date;
}

/**
 * Reads what succeeded, page by page, and keeps it in memory: the whole ledger (for tests and test mode), or a span.
 * @throws what the SDK throws.
 */
export async function readLedger(db: Database, processor: Processor, span?: Span): Promise<Ledger> {
  // As text: a JavaScript Date would cut the microseconds off.
  const [start] = await db.query<{ time: string }>(
    `SELECT LEAST(clock_timestamp(), $1::timestamptz)::text AS time`,
    [span?.to.toISOString() ?? null],
  );
  const payments: Payment[] = [];
  for await (const payment of processor.payments(span)) {
    if (payment.answer.kind === 'succeeded') payments.push(payment);
  }
  const refunds: PaidRefund[] = [];
  const failedRefunds: PaidRefund[] = [];
  for await (const refund of processor.refunds(span)) {
    if (refund.answer.kind === 'succeeded') refunds.push(refund);
    if (refund.answer.kind === 'rejected') failedRefunds.push(refund);
  }
  return {
    payments,
    refunds,
    failedRefunds,
    readAt: start!.time,
    ...(span && { from: span.from }),
  };
}

/** The default CHARGE_DEADLINE_SECONDS and the lease of an attempt that began just before it. */
const RECOVERY_SECONDS = 310;

export interface ComparisonOptions {
  /** Read already; else the whole ledger is read. */
  ledger?: Ledger;
  /** How long a charge or refund may be pending although the processor has moved the money. */
  recoverySeconds?: number;
}

/**
 * Compares both ways. May run while charges are made: rows are looked at after the payments that they explain.
 *
 * Metadata can be edited at the processor's desk, and other programs use the same keys. So the comparison trusts the
 * names of a payment or refund only where booking does (`isOurPayment`, `isOurRefund`). All others it finds by the
 * processor's reference.
 * @returns nothing, when both ledgers tell the same.
 */
export async function compareWithProcessor(
  db: Database,
  processor: Processor,
  { ledger, recoverySeconds = RECOVERY_SECONDS }: ComparisonOptions = {},
): Promise<Finding[]> {
  const { payments, refunds, readAt, from } = ledger ?? (await readLedger(db, processor));
  return db.query(
    `WITH paid AS (
       SELECT payment.reference, payment.amount, payment.currency, payment."order",
         COALESCE(shown.id, payment.charge) AS charge, COALESCE(shown.account_id, payment.account) AS account
       FROM json_to_recordset($1) AS payment (reference text, amount bigint, currency text, charge text, account text,
         "order" text, names_ours boolean)
       LEFT JOIN charges AS shown ON NOT payment.names_ours
         AND shown.processor_reference = payment.reference AND shown.processor = $3),
     ours AS (
       SELECT * FROM paid
       WHERE charge IS NOT NULL AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = paid.account)
         AND NOT EXISTS (SELECT 1 FROM naive_charges WHERE naive_charges.processor_reference = paid.reference)),
     returned AS (
       SELECT * FROM json_to_recordset($2)
         AS refund (reference text, amount bigint, currency text, payment text, refund text, charge text, account text)),
     ours_returned AS (
       SELECT * FROM returned
       WHERE refund IS NOT NULL AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = returned.account))
     ${asOneQuery(PAYMENT_INVARIANTS)} ORDER BY invariant, account_id, id`,
    [
      JSON.stringify(payments.map((paid) => ({ ...paid, names_ours: isOurPayment(paid) }))),
      JSON.stringify(refunds.map((paid) => (isOurRefund(paid) ? paid : withoutNames(paid)))),
      processor.name,
      readAt,
      from?.toISOString() ?? '-infinity',
      recoverySeconds,
    ],
  );
}

function withoutNames({ reference, amount, currency, payment }: PaidRefund) {
  return { reference, amount, currency, payment };
}
