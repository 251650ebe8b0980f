import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { lockCharge } from '../charges/charge.queries.js';
import { deriveId } from '../idempotency/identity.js';
import type { Intent } from '../idempotency/operation.js';
import type { Tx } from '../platform/database.js';
import {
  findPendingRefund,
  findRefund,
  findRefundsOnTheirWay,
  type RefundEnd,
} from './refund.queries.js';
import { loadPendingRefund, RefundOperation } from './refund.operation.js';
import { settleRefund } from './settle-refund.js';

/**
 * A refund that we owe without being asked. No client's key is involved: the cause names it, in a column of its own
 * with a unique index, and the id is derived from the cause. Reserve, perform, settle as always; the job that calls
 * this is repeated until it returns.
 */
@Injectable()
export class Compensation {
  constructor(
    private readonly dataSource: DataSource,
    private readonly refunds: RefundOperation,
  ) {}

  /**
   * Gives back all that is left of a charge, once per cause.
   * @throws Error while the outcome is open; call again.
   */
  async refundOnce(accountId: string, chargeId: string, cause: string): Promise<void> {
    const id = deriveId('re', accountId, 'compensation', cause);
    await this.reserve(accountId, chargeId, cause, id);
    // Dies here: the refund is pending, and the next run goes on with it.
    const attempt = await loadPendingRefund(this.dataSource.manager, accountId, id);
    if (!attempt) return this.checkEnded(accountId, id);
    const performed = await this.refunds.perform(attempt);
    if (!performed.ended) throw performed.error(true, 1);
    const { outcome } = performed;
    await this.dataSource.transaction((tx) =>
      settleOwedRefund(tx, chargeId, outcome, { accountId, id }),
    );
    await this.checkEnded(accountId, id);
  }

  /** Nothing was left to give back, or it has gone back. @throws Error if the processor refused the refund. */
  private async checkEnded(accountId: string, id: string): Promise<void> {
    const refund = await findRefund(this.dataSource.manager, accountId, id);
    if (refund?.status === 'failed')
      throw new Error(`${id} failed: ${refund.failure_code}; a person must look`);
  }

  private async reserve(
    accountId: string,
    chargeId: string,
    cause: string,
    id: string,
  ): Promise<void> {
    await this.dataSource.transaction(async (tx) => {
      const charge = await lockCharge(tx, accountId, chargeId);
      if (!charge) throw new Error(`${chargeId} is to be given back, but is not there`);
      if (await findRefund(tx, accountId, id)) return;
      // A client's refund on its way may fail: what is left to give back is known when it has ended.
      const [onItsWay] = await findRefundsOnTheirWay(tx, accountId, chargeId);
      if (onItsWay) throw new Error(`${onItsWay.id} has not ended yet; the job comes back`);
      const amount = charge.amount - charge.amount_refunded;
      if (amount > 0) await this.refunds.reserve(tx, charge, { id, amount, reason: cause, cause });
    });
  }
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
