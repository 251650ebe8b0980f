import { Logger } from '@nestjs/common';
import type { Charge } from '../charges/charge.entity.js';
import { findCharge, lockCharge } from '../charges/charge.queries.js';
import type { Database, Tx } from '../database/database.js';
import type { PaidRefund, Processor, ProcessorAnswer } from '../processor/processor.js';
import {
  bookForeignRefund,
  isOurRefund,
  mayBe,
  rebuildRefund,
  RefundUndecided,
} from './rebuild-refund.js';
import type { Refund } from './refund.entity.js';
import { findRefundByReference, type RefundEnd } from './refund.queries.js';
import { EXCEEDS, refundEndOf, reverseRefund } from './settle-refund.js';

const log = new Logger('RefundsAtProcessor');

/** What one refund at the processor has changed in our books. */
export type RefundRepair =
  | { kind: 'rebuilt' | 'booked'; id: string }
  | { kind: 'reversed'; id: string; alarm: string | undefined };

/**
 * Reads the refunds of a charge at the processor and writes down what our books do not know: those made at its own
 * desk, those that failed after they had succeeded, those that a restore has lost. Called outside of any transaction;
 * each refund is written in one of its own, under the charge's lock, so that any number of processes may do it at once
 * and be killed anywhere.
 * @param within `notAfter` as for the calls of the processor; `refused` as for `bookForeignRefund`.
 * @returns all of them, as the processor has them now; with those that may be pending ones of ours, and so are not
 *   written down yet.
 * @throws what the SDK throws, if the list cannot be read.
 */
export async function catchUpWithRefunds(
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
        catchUpWith(tx, processor, charge, paid, refused),
      );
      if (repair?.kind === 'reversed' && repair.alarm) log.error(repair.alarm);
    } catch (because) {
      if (!(because instanceof RefundUndecided)) throw because;
      undecided.push({ paid, because });
    }
  }
  return { listed, undecided };
}

/**
 * A refund of ours in the processor's ledger, for the time when its key no longer tells. If no refund names it, the one
 * that may be it and that no row accounts for is taken for it: asking again would give the money back twice.
 * @throws what the SDK throws, if the list cannot be read.
 */
export async function lookForRefund(
  db: Database,
  processor: Processor,
  refund: Refund,
  notAfter?: number,
): Promise<ProcessorAnswer | undefined> {
  const { account_id, charge_id, id } = refund;
  const payment = (await findCharge(db, account_id, charge_id))?.processor_reference;
  if (payment == null) throw new Error(`${charge_id} is to be given back, but took no money`);
  const listed = await processor.refundsOf(payment, notAfter);
  const named = listed.find((paid) => paid.refund === id);
  if (named) return named.answer;
  for (const paid of listed) {
    if (isOurRefund(paid) || !mayBe(refund, paid)) continue;
    if (!(await findRefundByReference(db, account_id, paid.reference))) return paid.answer;
  }
  return undefined;
}

/** What failed makes room: the processor may have given the same money back again since. */
export function failedFirst<Refund extends PaidRefund>(refunds: readonly Refund[]): Refund[] {
  const failed = refunds.filter(({ answer }) => refundEndOf(answer)?.status === 'failed');
  return [...failed, ...refunds.filter((refund) => !failed.includes(refund))];
}

/**
 * Brings our books up to one refund at the processor. One of ours that is on its way is left to whoever works on it.
 * @param charge the one that its payment has paid.
 * @param refused as for `bookForeignRefund`.
 * @returns undefined if there was nothing to do, or if it does not fit; the comparison then tells.
 * @throws RefundUndecided while it may be a pending one of ours.
 */
export async function catchUpWith(
  tx: Tx,
  processor: Processor,
  charge: Pick<Charge, 'account_id' | 'id'>,
  paid: PaidRefund,
  refused?: string,
): Promise<RefundRepair | undefined> {
  const end = refundEndOf(paid.answer);
  if (!end) return undefined;
  await lockCharge(tx, charge.account_id, charge.id);
  const known = await findRefundByReference(tx, charge.account_id, paid.reference);
  if (known) {
    if (end.status === 'succeeded') return undefined;
    const { reference } = paid;
    const reversed = await reverseRefund(tx, known, { ...end, reference });
    return reversed && { kind: 'reversed', id: known.id, alarm: reversed.alarm };
  }
  if (isOurRefund(paid)) {
    if (end.status === 'failed') return undefined; // nothing had been counted
    if (paid.account !== charge.account_id || paid.charge !== charge.id) return undefined;
    const rebuilt = await rebuildRefund(tx, processor, paid);
    return rebuilt ? { kind: 'rebuilt', id: paid.refund } : undefined;
  }
  const booked = await bookForeignRefund(tx, processor, charge, paid, end, refused);
  return booked && { kind: 'booked', id: booked.id };
}

/**
 * What the end of a refund, as the processor told it, means beside the other refunds of its charge. If it does not fit
 * our books, they are behind, and catch up first: so that the next refund is reserved from what is true.
 * @returns undefined while a refund that was made at the desk, which may be why it was refused, has not ended there.
 * @throws what the SDK throws, if the list cannot be read: then nothing has been decided.
 */
export async function endBesideTheOthers(
  db: Database,
  processor: Processor,
  { account_id, id, charge_id, amount, cause }: Refund,
  end: RefundEnd,
  notAfter: number,
): Promise<RefundEnd | undefined> {
  const now = async () => {
    const charge = await findCharge(db, account_id, charge_id);
    if (!charge) throw new Error(`${charge_id} is to be given back, but is not there`);
    return { charge, left: charge.amount - charge.amount_refunded };
  };
  const { charge, left } = await now();
  // Refused without a refund of its own at the processor (one that we owe looks after that itself, when it has ended),
  // or more than our books allow.
  const refused = end.status === 'failed' && end.reference === null && cause === null;
  const doubtful = refused || (end.status === 'succeeded' && amount > left);
  if (!doubtful) return end;
  const { listed, undecided } = await catchUpWithRefunds(db, processor, charge, {
    notAfter,
    ...(refused ? { refused: id } : {}),
  });
  if (end.status === 'succeeded') return end;
  // What may be another pending one of ours has gone back all the same. To wait for that one could last for ever: it
  // may have been refused as well, and wait for this one.
  const gone = undecided.filter(({ paid }) => paid.answer.kind === 'succeeded');
  const leftNow = gone.reduce((left, { paid }) => left - paid.amount, (await now()).left);
  if (amount > leftNow) return { ...end, failureCode: EXCEEDS };
  const open = listed.filter(({ answer }) => answer.kind === 'unknown');
  const onItsWay = open.reduce((sum, refund) => sum + refund.amount, 0);
  return amount > leftNow - onItsWay ? undefined : end;
}
