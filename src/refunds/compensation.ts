import { Injectable } from '@nestjs/common';
import { findCharge, lockCharge } from '../charges/charge.queries.js';
import { deriveId } from '../idempotency/identity.js';
import type { Intent } from '../idempotency/operation.js';
import { Database, type Tx } from '../platform/database.js';
import { Processor } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';
import {
  findPendingRefund,
  findRefund,
  findRefundsOfCause,
  findRefundsOnTheirWay,
  type RefundEnd,
} from './refund.queries.js';
import { loadPendingRefund, RefundOperation } from './refund.operation.js';
import { catchUpWithRefunds } from './refunds-at-processor.js';
import { settleRefund } from './settle-refund.js';

/**
 * A refund that we owe without being asked. No client's key is involved: the cause names it, in a column of its own
 * with a unique index, and the id is derived from the cause. Reserve, perform, settle as always; the job that calls
 * this is repeated until it returns.
 *
 * One that fails after it had succeeded, when the job is gone, is not asked for again by itself: `reverseRefund` parks
 * it, the event `refund.failed` tells the merchant, and the audit names it until the money has gone back.
 */
@Injectable()
export class Compensation {
  constructor(
    private readonly db: Database,
    private readonly refunds: RefundOperation,
    private readonly processor: Processor,
  ) {}

  /**
   * Gives back all that is left of a charge, once per cause. One that the processor refuses is not asked for again
   * under its name; what its ledger says then decides. Nothing left (a person was faster, at the processor's own desk):
   * done. Less than was asked for: that is asked for, under the next name. As much as before: only when told to.
   * All its calls of the processor end within the time of one, which is less than the queue's lock lasts; what is not
   * known by then is for the job's next run.
   * @param askAgain whether somebody wants one that was refused before to be asked for once more.
   * @throws Error while the outcome is open, or if a person must look; call again.
   */
  async refundOnce(
    accountId: string,
    chargeId: string,
    cause: string,
    askAgain = false,
  ): Promise<void> {
    const debt = { accountId, chargeId, cause, deadline: this.processor.deadline() };
    let mayAskAgain = askAgain && (await this.wasRefused(debt));
    let refused = await this.attempt(debt);
    while (refused) {
      const left = await this.leftByLedger(refused, debt.deadline);
      if (left === 0) return;
      if (left >= refused.amount && !mayAskAgain)
        throw new Error(`${refused.id} failed: ${refused.failure_code}; a person must look`);
      mayAskAgain = false;
      refused = await this.attempt(debt, { after: refused, left });
    }
  }

  private async wasRefused({ accountId, chargeId, cause }: Debt): Promise<boolean> {
    const made = await findRefundsOfCause(this.db, accountId, chargeId, cause);
    return made.at(-1)?.status === 'failed';
  }

  /**
   * Brings the newest refund for a cause to its end.
   * @param next makes another one first, unless somebody has done so since that one was refused.
   * @returns it, if the processor refused it. Otherwise nothing was left to give back, or it has gone back.
   */
  private async attempt(
    debt: Debt,
    next?: { after: Refund; left: number },
  ): Promise<Refund | undefined> {
    const { db } = this;
    const { accountId, chargeId } = debt;
    const id = await this.db.transaction((tx) => this.reserve(tx, debt, next));
    if (id === undefined) return undefined;
    // Dies here: the refund is pending, and the next run goes on with it.
    const attempt = await loadPendingRefund(db, accountId, id);
    if (attempt) {
      const performed = await this.refunds.perform(attempt, debt.deadline);
      if (!performed.ended) throw performed.error(true, 1);
      const { outcome } = performed;
      await this.db.transaction((tx) => settleOwedRefund(tx, chargeId, outcome, { accountId, id }));
    }
    const refund = await findRefund(db, accountId, id);
    return refund?.status === 'failed' ? refund : undefined;
  }

  /** @returns the id of the refund that is to be brought to its end; undefined if nothing is left to give back. */
  private async reserve(
    tx: Tx,
    { accountId, chargeId, cause }: Debt,
    next?: { after: Refund; left: number },
  ): Promise<string | undefined> {
    const charge = await lockCharge(tx, accountId, chargeId);
    if (!charge) throw new Error(`${chargeId} is to be given back, but is not there`);
    const made = await findRefundsOfCause(tx, accountId, chargeId, cause);
    const newest = made.at(-1);
    if (newest && newest.id !== next?.after.id) return newest.id;
    // A client's refund on its way may fail: what is left to give back is known when it has ended.
    const [onItsWay] = await findRefundsOnTheirWay(tx, accountId, chargeId);
    if (onItsWay) throw new Error(`${onItsWay.id} has not ended yet; the job comes back`);
    const amount = Math.min(charge.amount - charge.amount_refunded, next?.left ?? Infinity);
    if (amount <= 0) return undefined;
    const name = newest ? `${cause}#${made.length + 1}` : cause;
    const id = deriveId('re', accountId, 'compensation', name);
    await this.refunds.reserve(tx, charge, { id, amount, reason: cause, cause: name });
    return id;
  }

  /**
   * What the processor could still give back of a refused refund's charge, after refunds that were made there without
   * us have been written down.
   * @throws Error while one of them has not ended; what the SDK throws, if the ledger cannot be read.
   */
  private async leftByLedger({ account_id, charge_id }: Refund, deadline: number): Promise<number> {
    const charge = await findCharge(this.db, account_id, charge_id);
    if (!charge) throw new Error(`${charge_id} is to be given back, but is not there`);
    let left = charge.amount;
    const { listed, undecided } = await catchUpWithRefunds(this.db, this.processor, charge, {
      notAfter: deadline,
    });
    if (undecided[0]) throw undecided[0].because; // the job comes back
    for (const paid of listed) {
      if (paid.answer.kind === 'unknown')
        throw new Error(`${paid.reference} has not ended yet; the job comes back`);
      if (paid.answer.kind === 'succeeded') left -= paid.amount;
    }
    const { amount, amount_refunded } = (await findCharge(this.db, account_id, charge_id))!;
    return Math.max(0, Math.min(left, amount - amount_refunded));
  }
}

interface Debt {
  accountId: string;
  chargeId: string;
  cause: string;
  /** Of this run, by `elapsedMs()`, in ms. */
  deadline: number;
}

/**
 * The third beat without a record: by the job, or by the processor's webhook.
 * @returns false if somebody was faster.
 */
export async function settleOwedRefund(
  tx: Tx,
  chargeId: string,
  end: RefundEnd,
  refund: Pick<Intent, 'accountId' | 'id'>,
): Promise<boolean> {
  // The charge's lock comes first, here as everywhere; whoever is second finds the refund ended.
  await lockCharge(tx, refund.accountId, chargeId);
  if (!(await findPendingRefund(tx, refund.accountId, refund.id))) return false;
  await settleRefund(tx, chargeId, end, refund);
  return true;
}
