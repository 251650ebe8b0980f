import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import type { Finding } from '../audit/invariant.js';
import { compareWithProcessor, readLedger, type Ledger } from '../audit/processor-comparison.js';
import { findCharge } from '../charges/charge.queries.js';
import { parkUnlessAccountedFor } from '../charges/parked-payments.js';
import { rebuildCharge, type OurPayment } from '../charges/rebuild-charge.js';
import type { Processor, Span } from '../processor/processor.js';
import { rebuildRefund, type OurRefund } from '../refunds/rebuild-refund.js';

/**
 * How much further than the span the ledger is read, in ms: a charge of its last second may be taken minutes later.
 * More than the longest CHARGE_DEADLINE_SECONDS; shorter reports charges whose payment lies just outside.
 */
const MARGIN_MS = 2 * 3_600_000;

const MAX_AMOUNT = 99_999_999;

export interface Reconciliation {
  payments: number;
  refunds: number;
  /** What differed, what was mended included; nothing if both tell the same. */
  differences: Finding[];
}

/**
 * Holds the processor's ledger of a span against our rows, both ways, and mends what can be mended safely: a payment or
 * refund of ours without a row gets it back under its own id, a success of a failed charge is parked. Repeatable, and
 * safe while everything runs: what is reserved is never touched. Proof: test/reconciliation/.
 *
 * @throws what the processor's SDK throws if the ledger cannot be read; then nothing was changed.
 */
export async function reconcile(
  dataSource: DataSource,
  processor: Processor,
  { from, to }: Span,
): Promise<Reconciliation> {
  const db = dataSource.manager;
  const read = await readLedger(db, processor, {
    from: new Date(from.getTime() - MARGIN_MS),
    to: new Date(to.getTime() + MARGIN_MS),
  });
  const mended = await mend(dataSource, processor, read);
  const compared = await compareWithProcessor(db, processor, { ...read, from });
  const differences = [...mended, ...compared];
  const { payments, refunds } = read;
  await db.query(
    `INSERT INTO reconciliation_runs (id, span_from, span_to, payments, refunds, differences)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [
      `rec_${randomUUID()}`,
      from.toISOString(),
      to.toISOString(),
      payments.length,
      refunds.length,
      JSON.stringify(differences),
    ],
  );
  return { payments: payments.length, refunds: refunds.length, differences };
}

/** Oldest first, and payments before refunds: each finds what it builds on. */
async function mend(
  dataSource: DataSource,
  processor: Processor,
  { payments, refunds }: Ledger,
): Promise<Finding[]> {
  const accounts = await accountsOf(dataSource, [...payments, ...refunds]);
  const mended: Finding[] = [];
  for (const payment of payments.toReversed()) {
    if (!isOurPayment(payment) || !accounts.has(payment.account)) continue;
    const invariant = await mendCharge(dataSource, processor, payment);
    if (invariant) mended.push(finding(invariant, payment.charge, payment));
  }
  for (const refund of refunds.toReversed()) {
    if (!isOurRefund(refund) || !accounts.has(refund.account)) continue;
    if (await rebuildRefund(dataSource, processor, refund))
      mended.push(finding('refund_rebuilt', refund.refund, refund));
  }
  return mended;
}

async function mendCharge(
  dataSource: DataSource,
  processor: Processor,
  payment: OurPayment,
): Promise<string | undefined> {
  const charge = await findCharge(dataSource.manager, payment.account, payment.charge);
  if (charge) {
    const parked =
      charge.status === 'failed' &&
      (await parkUnlessAccountedFor(dataSource.manager, charge, payment.reference));
    return parked ? 'payment_of_a_failed_charge_parked' : undefined;
  }
  if (await isSpokenFor(dataSource, payment)) return undefined;
  switch (await rebuildCharge(dataSource, processor, payment)) {
    case 'exists':
      return undefined;
    case 'rebuilt':
      return 'charge_rebuilt';
    case 'rebuilt without its order':
      return 'charge_rebuilt_without_its_order';
  }
}

/** A person looks after what is parked; the lab's naive lane has rows of its own. */
async function isSpokenFor(dataSource: DataSource, { account, reference }: OurPayment) {
  const rows: unknown[] = await dataSource.query(
    `SELECT 1 FROM parked_payments WHERE account_id = $1 AND processor_reference = $2
     UNION ALL SELECT 1 FROM naive_charges WHERE account_id = $1 AND processor_reference = $2`,
    [account, reference],
  );
  return rows.length > 0;
}

async function accountsOf(dataSource: DataSource, paid: { account: string | undefined }[]) {
  const rows: { id: string }[] = await dataSource.query(
    `SELECT id FROM accounts WHERE id = ANY($1)`,
    [[...new Set(paid.flatMap(({ account }) => account ?? []))]],
  );
  return new Set(rows.map(({ id }) => id));
}

/** Only what we could have reserved ourselves is taken for ours. */
function isOurPayment(payment: Ledger['payments'][number]): payment is OurPayment {
  const { charge, account, amount } = payment;
  return (
    charge !== undefined && account !== undefined && isId('ch', charge) && amount <= MAX_AMOUNT
  );
}

function isOurRefund(paid: Ledger['refunds'][number]): paid is OurRefund {
  const { refund, charge, account } = paid;
  return (
    refund !== undefined && charge !== undefined && account !== undefined && isId('re', refund)
  );
}

/** The shape of a derived id: see src/idempotency/identity.ts. */
function isId(prefix: string, text: string): boolean {
  return new RegExp(`^${prefix}_[0-9a-v]{32}$`).test(text);
}

function finding(
  invariant: string,
  id: string,
  paid: { account: string; amount: number; currency: string; reference: string },
): Finding {
  const detail = `${paid.amount} ${paid.currency}, ${paid.reference}`;
  return { invariant, account_id: paid.account, id, detail };
}
