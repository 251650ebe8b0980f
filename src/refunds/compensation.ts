import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { findCharge, lockCharge } from '../charges/charge.queries.js';
import { Database } from '../database/database.js';
import { IdempotencyEngine } from '../idempotency/engine.js';
import { IdempotencyKeyExpired, ReserveRaced } from '../idempotency/errors.js';
import { deriveId } from '../idempotency/identity.js';
import {
  OperationRegistry,
  type Operation,
  type TransactionPlan,
} from '../idempotency/operation.js';
import { elapsedMs } from '../database/clock.js';
import { Processor } from '../processor/processor.js';
import type { Refund } from './refund.entity.js';
import {
  findPendingRefund,
  findRefund,
  findRefundsOfCause,
  findRefundsOnTheirWay,
  type RefundEnd,
} from './refund.queries.js';
import type { Attempt } from './refund-attempt.js';
import { RefundOperation } from './refund.operation.js';
import { catchUpWithRefunds } from './refunds-at-processor.js';

/** No client can send a key with this character (RFC 8941: printable ASCII). */
const INTERNAL = '§';
/** The cause is the whole intent: the same key never has another request. */
const NO_REQUEST = { fingerprint: Buffer.alloc(0), members: {} };
/** A refund that another process works on: the job comes back. */
const WAIT_MS = 0;

/**
 * A refund that we owe, without a client's request. It runs through the engine like a client's, under a key that its
 * cause names; the job that calls this is repeated until it returns, and the sweep continues what was reserved.
 *
 * One that fails after it had succeeded, when the job is gone, is not asked for again: `reverseRefund` parks it, the
 * event `refund.failed` reports it to the merchant, and the audit names it until the money has gone back.
 */
@Injectable()
export class Compensation implements Operation<Attempt, RefundEnd> {
  readonly name = 'compensation';
  readonly idPrefix = 're';
  readonly internal = true;
  readonly outside;
  readonly find;

  constructor(
    private readonly db: Database,
    private readonly engine: IdempotencyEngine,
    private readonly refunds: RefundOperation,
    private readonly processor: Processor,
    operations: OperationRegistry,
  ) {
    this.outside = refunds.outside;
    this.find = refunds.find.bind(refunds);
    operations.register(this);
  }

  /**
   * Gives back all that is left of a charge, once per cause. One that the processor refuses is not asked for again
   * under its name; what its ledger says then decides. Nothing left (a person was faster, at the processor's own desk):
   * done. Less than was asked for: that is asked for, under the next name. As much as before: only with `askAgain`.
   * All its calls of the processor end within the time of one, so that the job ends before the queue frees it.
   * @param askAgain whether a refund that was refused before may be asked for once more.
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
   * @param next makes another one first, unless another process has made one since that one was refused.
   * @returns it, if the processor refused it. Otherwise nothing was left to give back, or it has gone back.
   */
  private async attempt(
    debt: Debt,
    next?: { after: Refund; left: number },
  ): Promise<Refund | undefined> {
    const { accountId, chargeId, cause } = debt;
    const made = await findRefundsOfCause(this.db, accountId, chargeId, cause);
    const newest = made.at(-1);
    const isMade = newest !== undefined && newest.id !== next?.after.id;
    const name = isMade ? newest.cause! : newest ? `${cause}#${made.length + 1}` : cause;
    const id = deriveId(this.idPrefix, accountId, this.name, name);
    try {
      await this.engine.run(
        {
          accountId,
          id,
          operation: this.name,
          key: INTERNAL + name,
          requestId: randomUUID(),
          ...NO_REQUEST,
        },
        this.plan(debt, name, next?.left),
        WAIT_MS,
      );
    } catch (error) {
      if (error instanceof NothingLeft) return undefined;
      if (!(error instanceof IdempotencyKeyExpired)) throw error; // it ended long ago: its row says how
    }
    const refund = await findRefund(this.db, accountId, id);
    if (refund?.status === 'pending') throw new Error(`${id} is pending, but has no record`);
    return refund?.status === 'failed' ? refund : undefined;
  }

  private plan(debt: Debt, name: string, left = Infinity) {
    const { accountId, chargeId, cause, deadline } = debt;
    return {
      reserve: async (tx, { id }) => {
        const begun = elapsedMs();
        const charge = await lockCharge(tx, accountId, chargeId);
        if (!charge) throw new Error(`${chargeId} is to be given back, but is not there`);
        // A client's refund on its way may fail: what is left to give back is known when it has ended.
        const onItsWay = await findRefundsOnTheirWay(tx, accountId, chargeId);
        const other = onItsWay.find((refund) => refund.id !== id);
        if (other) throw new Error(`${other.id} has not ended yet; the job comes back`);
        const amount = Math.min(charge.amount - charge.amount_refunded, left);
        // Reserved without a record, by a process of the release before: it gets the record that is being written.
        const made = await findPendingRefund(tx, accountId, id);
        if (made)
          return { work: { refund: made, reservedAt: begun - made.age_ms, notAfter: deadline } };
        if (await findRefund(tx, accountId, id)) throw new ReserveRaced();
        if (amount <= 0) throw new NothingLeft();
        const terms = { id, amount, reason: cause, cause: name };
        const refund = await this.refunds.reserve(tx, charge, terms);
        if (!refund) throw new Error(`another refund for ${cause} was made; the job comes back`);
        return { work: { refund, reservedAt: begun, notAfter: deadline } };
      },
    } satisfies TransactionPlan<Attempt>;
  }

  /**
   * What the processor could still give back of a refused refund's charge, after refunds that were made there without
   * us have been written down.
   * @throws Error while one of them has not ended; what the SDK throws, if the ledger cannot be read.
   */
  private async leftByLedger({ account_id, charge_id }: Refund, notAfter: number): Promise<number> {
    const charge = await findCharge(this.db, account_id, charge_id);
    if (!charge) throw new Error(`${charge_id} is to be given back, but is not there`);
    let left = charge.amount;
    const { listed, undecided } = await catchUpWithRefunds(this.db, this.processor, charge, {
      notAfter,
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

/** The reserve's answer to a debt that is paid: it undoes itself. */
class NothingLeft extends Error {}
