import { Logger } from '@nestjs/common';
import type { Charge } from '../charges/charge.entity.js';
import { findCharge, lockCharge, type PaymentEnd } from '../charges/charge.queries.js';
import { endOf } from '../charges/settle-charge.js';
import type { Database, Tx } from '../database/database.js';
import type { PaidRefund, Processor, ProcessorAnswer } from '../processor/processor.js';
import {
  bookForeignRefund,
  isOurRefund,
  mayBeSame,
  rebuildRefund,
  RefundUndecided,
} from './rebuild-refund.js';
import type { Refund } from './refund.entity.js';
import { findRefundByReference } from './refund.queries.js';
import { EXCEEDS, reverseRefund } from './settle-refund.js';

const log = new Logger('RefundsAtProcessor');

/** The change that one refund at the processor made in our books. */
export interface RefundRepair {
  what: 'refund_rebuilt' | 'refund_made_elsewhere_booked' | 'refund_failed_after_it_had_succeeded';
  id: string;
  /** A line for the log. */
  alarm?: string;
}

/**
 * Reads the refunds of a charge at the processor and books what is missing here: refunds made there, refunds that
 * failed after they had succeeded, refunds lost in a restore. Call it outside of any transaction. Each refund is
 * written in its own transaction under the charge's lock, so that concurrent runs and crashes are safe.
 * @param within `notAfter` as for the processor's calls; `refused` as for `bookForeignRefund`.
 * @returns all refunds of the charge at the processor, and those that may be our pending refunds and are not booked
 * yet.
 * @throws the SDK's error if the list cannot be read.
 */
export async function importRefunds(
  db: Database,
  processor: Processor,
  charge: Charge,
  { notAfter, refused }: { notAfter?: number; refused?: string } = {},
): Promise<{ listed: PaidRefund[]; undecided: { paid: PaidRefund; because: RefundUndecided }[] }> {
  if (processor.name !== charge.processor)
    throw new Error(`${charge.id} is in the ledger of ${charge.processor}, not ${processor.name}`);
  if (charge.processor_reference === null) throw new Error(`${charge.id} took no money`);
  const listed = await processor.refundsOf(charge.processor_reference, notAfter);
  const undecided: { paid: PaidRefund; because: RefundUndecided }[] = [];
  for (const paid of failedFirst(listed)) {
    try {
      const repair = await db.transaction((tx) =>
        importRefund(tx, processor, charge, paid, refused),
      );
      if (repair?.alarm) log.error(repair.alarm);
    } catch (because) {
      if (!(because instanceof RefundUndecided)) throw because;
      undecided.push({ paid, because });
    }
  }
  return { listed, undecided };
}

/**
 * Finds a refund of ours in the processor's ledger when the processor may have forgotten its key. If none has our id, a
 * refund of the same amount that no row accounts for counts as ours: another request could refund twice.
 * @throws the SDK's error if the list cannot be read.
 */
export async function lookForRefund(
  db: Database,
  processor: Processor,
  refund: Refund,
  notAfter?: number,
): Promise<ProcessorAnswer | undefined> {
  const { account_id, charge_id, id } = refund;
  const payment = (await findCharge(db, account_id, charge_id))?.processor_reference;
  if (payment == null) throw new Error(`cannot refund ${charge_id}: it took no money`);
  const listed = await processor.refundsOf(payment, notAfter);
  const named = listed.find((paid) => paid.refund === id);
  if (named) return named.answer;
  for (const paid of listed) {
    if (isOurRefund(paid) || !mayBeSame(refund, paid)) continue;
    if (!(await findRefundByReference(db, account_id, paid.reference))) return paid.answer;
  }
  return undefined;
}

/** Failed refunds first: they free the amount that a later refund may have used again. */
export function failedFirst<Refund extends PaidRefund>(refunds: readonly Refund[]): Refund[] {
  const failed = refunds.filter(({ answer }) => endOf(answer)?.status === 'failed');
  return [...failed, ...refunds.filter((refund) => !failed.includes(refund))];
}

/**
 * Books one refund at the processor. Leaves a refund of ours in flight to its own attempt.
 * @param charge the charge that took the payment.
 * @param refused as for `bookForeignRefund`.
 * @returns undefined if there was nothing to do, or the refund does not fit. The comparison with the processor reports
 *   the latter.
 * @throws RefundUndecided while it may be one of our pending refunds.
 */
export async function importRefund(
  tx: Tx,
  processor: Processor,
  charge: Pick<Charge, 'account_id' | 'id'>,
  paid: PaidRefund,
  refused?: string,
): Promise<RefundRepair | undefined> {
  const end = endOf(paid.answer);
  if (!end) return undefined;
  await lockCharge(tx, charge.account_id, charge.id);
  const known = await findRefundByReference(tx, charge.account_id, paid.reference);
  if (known) {
    if (end.status === 'succeeded') return undefined;
    const { reference } = paid;
    const reversed = await reverseRefund(tx, known, { ...end, reference });
    return reversed && { what: 'refund_failed_after_it_had_succeeded', id: known.id, ...reversed };
  }
  if (isOurRefund(paid)) {
    if (end.status === 'failed') return undefined; // it was never counted
    if (paid.account !== charge.account_id || paid.charge !== charge.id) return undefined;
    const rebuilt = await rebuildRefund(tx, processor, paid);
    return rebuilt ? { what: 'refund_rebuilt', id: paid.refund } : undefined;
  }
  const booked = await bookForeignRefund(tx, processor, charge, paid, end, refused);
  return booked && { what: 'refund_made_elsewhere_booked', id: booked.id };
}

/**
 * Checks the processor's answer against the other refunds of the charge. If the answer does not fit our books, they are
 * behind: book the processor's refunds first, so that the next refund is reserved from correct amounts.
 * @returns undefined while a refund in flight at the processor may be the reason for the refusal.
 * @throws the SDK's error if the list cannot be read: then nothing has been decided.
 */
export async function checkAgainstOtherRefunds(
  db: Database,
  processor: Processor,
  { account_id, id, charge_id, amount, cause }: Refund,
  end: PaymentEnd,
  notAfter: number,
): Promise<PaymentEnd | undefined> {
  const now = async () => {
    const charge = await findCharge(db, account_id, charge_id);
    if (!charge) throw new Error(`cannot refund ${charge_id}: there is no such charge`);
    return { charge, left: charge.amount - charge.amount_refunded };
  };
  const { charge, left } = await now();
  // Our books are behind if the processor refuses a client's refund, or has given back more than they allow. (For a
  // refund that we owe, `Compensation` does this check.)
  const refused = end.status === 'failed' && end.reference === null && cause === null;
  const doubtful = refused || (end.status === 'succeeded' && amount > left);
  if (!doubtful) return end;
  const { listed, undecided } = await importRefunds(db, processor, charge, {
    notAfter,
    ...(refused ? { refused: id } : {}),
  });
  if (end.status === 'succeeded') return end;
  // An undecided refund that succeeded has already returned its money. It may belong to another pending refund of ours.
  // Do not wait for that one: it may have been refused as well, and be waiting for this one.
  const paidOut = undecided.filter(({ paid }) => paid.answer.kind === 'succeeded');
  const leftNow = paidOut.reduce((left, { paid }) => left - paid.amount, (await now()).left);
  if (amount > leftNow) return { ...end, failureCode: EXCEEDS };
  const open = listed.filter(({ answer }) => answer.kind === 'unknown');
  const inFlight = open.reduce((sum, refund) => sum + refund.amount, 0);
  return amount > leftNow - inFlight ? undefined : end;
}
