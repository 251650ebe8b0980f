import { isOurPayment } from '../charges/rebuild-charge.js';
import type { Database } from '../database/database.js';
import type { PaidRefund, Payment, Processor, Span } from '../processor/processor.js';
import { isOurRefund } from '../refunds/rebuild-refund.js';
import { asOneQuery, invariantsOf, type Finding } from './invariant.js';
import processorSql from './processor.sql.js';

export const PAYMENT_INVARIANTS: readonly string[] = invariantsOf(processorSql);

/** What the processor took and gave back, as the processor reports it. */
export interface Ledger {
  payments: Payment[];
  refunds: PaidRefund[];
  /** Failed refunds, including those that had succeeded before. */
  failedRefunds: PaidRefund[];
  /** When reading began, or the span's end if earlier. The payment of a charge settled later may be missing. */
  readAt: string;
}

/**
 * Reads page by page and keeps the result in memory: the whole ledger (for tests and test mode), or a span.
 * @throws the SDK's error.
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
  return { payments, refunds, failedRefunds, readAt: start!.time };
}

/** The default CHARGE_DEADLINE_SECONDS plus the lease of an attempt that started just before it. */
const RECOVERY_SECONDS = 310;

export interface ComparisonOptions {
  /** Without it, the comparison reads the whole ledger. */
  ledger?: Ledger;
  /** Our rows from this time on must be in the ledger. Absent: all rows. */
  from?: Date;
  /** How long a charge or refund may be pending after the processor moved the money. */
  recoverySeconds?: number;
}

/**
 * Compares both ways. It may run while charges are made: it reads the payments first, then the rows that account for
 * them.
 *
 * People edit metadata in the processor's dashboard, and other programs use the same metadata keys. So the comparison
 * trusts the metadata of a payment or refund only where booking does (`isOurPayment`, `isOurRefund`), and finds all
 * others by the processor's reference.
 * @returns an empty list if both ledgers agree.
 */
export async function compareWithProcessor(
  db: Database,
  processor: Processor,
  { ledger, from, recoverySeconds = RECOVERY_SECONDS }: ComparisonOptions = {},
): Promise<Finding[]> {
  const { payments, refunds, readAt } = ledger ?? (await readLedger(db, processor));
  return db.query(asOneQuery([processorSql]), [
    JSON.stringify(payments.map((paid) => ({ ...paid, names_ours: isOurPayment(paid) }))),
    JSON.stringify(refunds.map((paid) => (isOurRefund(paid) ? paid : withoutNames(paid)))),
    processor.name,
    readAt,
    from?.toISOString() ?? '-infinity',
    recoverySeconds,
  ]);
}

function withoutNames({ reference, amount, currency, payment }: PaidRefund) {
  return { reference, amount, currency, payment };
}
