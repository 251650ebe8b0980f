import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { findCharge, lockCharge, type PaymentEnd } from '../charges/charge.queries.js';
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
  findRefund,
  findRefundsOfCause,
  insertPendingRefund,
  listPendingRefunds,
} from './refund.queries.js';
import type { Attempt } from './refund-attempt.js';
import { RefundOperation } from './refund.operation.js';
import { importRefunds } from './refunds-at-processor.js';

/** No client can send a key with this character (RFC 8941: printable ASCII). */
const INTERNAL = '§';
/** The cause is the whole intent, so one key never has two requests. */
const NO_REQUEST = { fingerprint: Buffer.alloc(0), members: {} };
/** The job does not wait for a refund that another process works on: the queue retries it. */
const WAIT_MS = 0;

/**
 * A refund that we owe, without a client's request. It runs through the engine like a client's; its key contains the
 * cause. The job that calls this is retried until it returns; the sweep continues what was reserved.
 *
 * If such a refund fails after it had succeeded, no job is left to ask again. `reverseRefund` parks it, the event
 * `refund.failed` reports it to the merchant, and the audit names it until the money has gone back.
 */
@Injectable()
export class Compensation implements Operation<Attempt, PaymentEnd> {
  readonly name = 'compensation';
  readonly idPrefix = 're';
  readonly internal = true;
  readonly outside;
  readonly find;

  constructor(
    private readonly db: Database,
    private readonly engine: IdempotencyEngine,
    refunds: RefundOperation,
    private readonly processor: Processor,
    operations: OperationRegistry,
  ) {
    this.outside = refunds.outside;
    this.find = refunds.find.bind(refunds);
    operations.register(this);
  }

  /**
   * Refunds the rest of a charge, once for each cause. After a refusal the processor's ledger decides:
   * - nothing is left, because an operator refunded it at the processor: done;
   * - less is left than was asked for: ask for that, as `cause#2` and so on;
   * - as much is left as before: ask again only with `askAgain`.
   *
   * All calls share the deadline of one, so that the job ends before the queue hands it to another worker.
   * @param askAgain whether a refund that was refused before may be asked for once more.
   * @throws Error while the outcome is unknown, or if an operator must look. Call again.
   */
  async refundOnce(
    accountId: string,
    chargeId: string,
    cause: string,
    askAgain = false,
  ): Promise<void> {
    const owed = { accountId, chargeId, cause, deadline: this.processor.deadline() };
    let mayAskAgain = askAgain && (await this.wasRefused(owed));
    let refused = await this.attempt(owed);
    while (refused) {
      const left = await this.leftByLedger(refused, owed.deadline);
      if (left === 0) return;
      if (left >= refused.amount && !mayAskAgain)
        throw new Error(`${refused.id} failed: ${refused.failure_code}; a person must look`);
      mayAskAgain = false;
      refused = await this.attempt(owed, { after: refused, left });
    }
  }

  private async wasRefused({ accountId, chargeId, cause }: OwedRefund): Promise<boolean> {
    const made = await findRefundsOfCause(this.db, accountId, chargeId, cause);
    return made.at(-1)?.status === 'failed';
  }

  /**
   * Runs the newest refund for a cause to its end.
   * @param next make another refund first, unless another process has already made one after the refused one.
   * @returns the refund if the processor refused it; undefined if the money went back or nothing was left.
   */
  private async attempt(
    owed: OwedRefund,
    next?: { after: Refund; left: number },
  ): Promise<Refund | undefined> {
    const { accountId, chargeId, cause } = owed;
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
        this.plan(owed, name, next?.left),
        WAIT_MS,
      );
    } catch (error) {
      if (error instanceof NothingLeft) return undefined;
      if (!(error instanceof IdempotencyKeyExpired)) throw error; // it ended long ago; read its row
    }
    const refund = await findRefund(this.db, accountId, id);
    if (refund?.status === 'pending') throw new Error(`${id} is pending, but has no record`);
    return refund?.status === 'failed' ? refund : undefined;
  }

  private plan(owed: OwedRefund, name: string, left = Infinity) {
    const { accountId, chargeId, cause, deadline } = owed;
    return {
      reserve: async (tx, { id }) => {
        const begun = elapsedMs();
        const charge = await lockCharge(tx, accountId, chargeId);
        if (!charge) throw new Error(`cannot refund ${chargeId}: there is no such charge`);
        // An in-flight refund may fail. How much is left to refund is known only when it has ended.
        const inFlight = await listPendingRefunds(tx, accountId, chargeId);
        const other = inFlight.find((refund) => refund.id !== id);
        if (other) throw new Error(`${other.id} has not ended yet; the job will be retried`);
        const amount = Math.min(charge.amount - charge.amount_refunded, left);
        if (await findRefund(tx, accountId, id)) throw new ReserveRaced();
        if (amount <= 0) throw new NothingLeft();
        const terms = { id, amount, reason: cause, cause: name };
        const refund = await insertPendingRefund(tx, this.processor, charge, terms);
        if (!refund)
          throw new Error(`another refund for ${cause} was made; the job will be retried`);
        return { work: { refund, reservedAt: begun, notAfter: deadline } };
      },
    } satisfies TransactionPlan<Attempt>;
  }

  /**
   * How much of a refused refund's charge the processor could still give back. First books the refunds that were made
   * at the processor.
   * @throws Error while one of those has not ended; the SDK's error if the ledger cannot be read.
   */
  private async leftByLedger({ account_id, charge_id }: Refund, notAfter: number): Promise<number> {
    const charge = await findCharge(this.db, account_id, charge_id);
    if (!charge) throw new Error(`cannot refund ${charge_id}: there is no such charge`);
    let left = charge.amount;
    const { listed, undecided } = await importRefunds(this.db, this.processor, charge, {
      notAfter,
    });
    if (undecided[0]) throw undecided[0].because; // the job will be retried
    for (const paid of listed) {
      if (paid.answer.kind === 'unknown')
        throw new Error(`${paid.reference} has not ended yet; the job will be retried`);
      if (paid.answer.kind === 'succeeded') left -= paid.amount;
    }
    const { amount, amount_refunded } = (await findCharge(this.db, account_id, charge_id))!;
    return Math.max(0, Math.min(left, amount - amount_refunded));
  }
}

interface OwedRefund {
  accountId: string;
  chargeId: string;
  cause: string;
  /** The deadline of this run, in ms on the clock of `elapsedMs()`. */
  deadline: number;
}

/** The charge is already refunded. Rolls the reserve back. */
class NothingLeft extends Error {}
