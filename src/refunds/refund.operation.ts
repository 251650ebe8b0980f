import { Inject, Injectable, Logger } from '@nestjs/common';
import { GIVING_UP } from '../charges/charge.operation.js';
import { lockCharge } from '../charges/charge.queries.js';
import type { Charge } from '../charges/charge.entity.js';
import type { GivingUp } from '../charges/give-up.js';
import { staysPending } from '../charges/outside.js';
import { isAnythingParked, type Misfit } from '../charges/parked-payments.js';
import { ReserveRaced } from '../idempotency/errors.js';
import {
  OperationRegistry,
  type FoundResource,
  type Intent,
  type Operation,
  type OutsideCall,
  type Performed,
  type Plan,
} from '../idempotency/operation.js';
import { chargeLink } from '../orders/order.entity.js';
import { elapsedMs } from '../database/clock.js';
import { Database, type Queryable, type Tx } from '../database/database.js';
import { nameOf } from '../log/fault.js';
import { objectNotFound, Problem } from '../http/problems/problem.js';
import { Processor, type ProcessorAnswer } from '../processor/processor.js';
import { refundAmount } from './refund.arithmetic.js';
import { refuseUnlessWhole, type CreateRefund } from './refund.dto.js';
import { parkRefundUnlessAccountedFor } from './parked-refunds.js';
import { refundLink, type Refund } from './refund.entity.js';
import { refundWaitsFor } from './refund.problems.js';
import {
  findPendingRefund,
  findRefund,
  listPendingRefunds,
  insertPendingRefund,
  type RefundEnd,
} from './refund.queries.js';
import { checkAgainstOtherRefunds, lookForRefund } from './refunds-at-processor.js';
import { refundAnswer, refundEndOf, settleRefund } from './settle-refund.js';

/** Reasons that show that a failed refund may have given money back. */
const RETURNED_AFTER_ALL: readonly Misfit[] = [
  'refund_succeeded_after_failed',
  'amount_mismatch',
  'another_processor',
  'never_applied',
];

/** A pending refund and when it was reserved. */
export interface Attempt {
  refund: Refund;
  /** On the clock of `elapsedMs()`, which goes on while the process sleeps. */
  reservedAt: number;
  /** An earlier deadline than the lease's, on the clock of `elapsedMs()`. */
  notAfter?: number;
}

/**
 * `POST /charges/{id}/refunds` in three beats, like a charge. The row lock of the charge keeps concurrent refunds from
 * giving back more than was taken; a CHECK constraint repeats the rule. Proof: test/refunds/.
 */
@Injectable()
export class RefundOperation implements Operation<Attempt, RefundEnd> {
  readonly name = 'POST /charges/{id}/refunds';
  readonly idPrefix = 're';
  readonly outside: OutsideCall<Attempt, RefundEnd>;
  private readonly log = new Logger(RefundOperation.name);

  constructor(
    operations: OperationRegistry,
    private readonly db: Database,
    private readonly processor: Processor,
    @Inject(GIVING_UP) private readonly givingUp: GivingUp,
  ) {
    this.outside = {
      load: (db, intent) => this.load(db, intent),
      perform: (attempt, _intent, leftMs) =>
        this.perform(attempt, Math.min(elapsedMs() + leftMs, attempt.notAfter ?? Infinity)),
      settle: ({ refund }, end, intent) => ({
        settle: async (tx) =>
          refundAnswer(
            refund.status === 'pending'
              ? await settleRefund(tx, refund.charge_id, end, intent)
              : refund,
            intent.requestId,
          ),
      }),
      late: {
        isIrreversible: (end) => end.status === 'succeeded',
        report: async (tx, { refund }, end) => {
          if (end.status !== 'succeeded') return;
          const line = await parkRefundUnlessAccountedFor(tx, refund, end);
          if (line) this.log.error(line);
        },
      },
    };
    operations.register(this);
  }

  plan(accountId: string, chargeId: string, request: CreateRefund): Plan<Attempt> {
    return {
      reserve: async (tx, { id }) => {
        const begun = elapsedMs();
        const charge = await lockCharge(tx, accountId, chargeId);
        if (!charge) throw objectNotFound('charge');
        refuseUnlessWhole(charge, request.amount);
        const amount = await this.amountOf(tx, charge, request.amount);
        const refund = await this.reserve(tx, charge, {
          id,
          amount,
          reason: request.reason ?? null,
          cause: null,
        });
        if (!refund) throw new ReserveRaced();
        return { work: { refund, reservedAt: begun } };
      },
    };
  }

  async find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined> {
    const refund = await findRefund(db, accountId, id);
    if (!refund) return undefined;
    const failed =
      refund.status === 'failed' &&
      !(await isAnythingParked(db, accountId, refund.charge_id, RETURNED_AFTER_ALL));
    return { ...refundLink(id), failed, createdAt: refund.created_at };
  }

  /** Writes the pending refund with its exact parameters. The caller holds the charge's lock. */
  reserve(
    tx: Tx,
    charge: Charge,
    refund: Pick<Refund, 'id' | 'amount' | 'reason' | 'cause'>,
  ): Promise<Refund | undefined> {
    if (charge.processor_reference === null) throw new Error(`${charge.id} took no money`);
    return insertPendingRefund(tx, {
      ...refund,
      account_id: charge.account_id,
      charge_id: charge.id,
      currency: charge.currency,
      processor: charge.processor,
      processor_parameters: this.processor.prepareRefund({
        payment_intent: charge.processor_reference,
        amount: refund.amount,
        metadata: { refund: refund.id, charge: charge.id, account: charge.account_id },
      }),
    });
  }

  /** The amount to refund, fixed now. @throws Problem 409 */
  private async amountOf(tx: Tx, charge: Charge, wanted: number | undefined): Promise<number> {
    if (charge.status === 'pending')
      throw refundWaitsFor(chargeLink(charge.id), 'The charge has not ended yet.');
    if (charge.status === 'failed') {
      throw new Problem('charge_not_refundable', 'The charge took no money.', {
        extensions: { resource: chargeLink(charge.id) },
      });
    }
    const inFlight = await listPendingRefunds(tx, charge.account_id, charge.id);
    const pending = inFlight.reduce((sum, { amount }) => sum + amount, 0);
    const amount = refundAmount(
      { amount: charge.amount, refunded: charge.amount_refunded, pending },
      wanted,
    );
    if (amount === 'pending') {
      throw refundWaitsFor(
        refundLink(inFlight[0]!.id),
        'Another refund of this charge has not ended yet.',
      );
    }
    if (amount === 'exceeds') {
      throw new Problem(
        'refund_exceeds_charge',
        `${charge.amount - charge.amount_refunded} is left to refund.`,
        {
          extensions: { resource: chargeLink(charge.id) },
        },
      );
    }
    return amount;
  }

  private async load(db: Queryable, { accountId, id }: Intent): Promise<Attempt> {
    const attempt = await loadPendingRefund(db, accountId, id);
    if (attempt) return attempt;
    const refund = await findRefund(db, accountId, id);
    // The previous release settles a refund that we owe without its record: only the stored answer is missing.
    if (refund && refund.cause !== null) return { refund, reservedAt: elapsedMs() };
    throw new Error(`${id} has an unfinished record but is not pending`);
  }

  /**
   * Asks the processor for the refund. Any process may repeat it.
   * @param deadline in ms on the clock of `elapsedMs()`: when all calls must have ended. What is unknown then stays
   * pending; the next attempt gets at once the answer that this one waited for.
   */
  private async perform(attempt: Attempt, deadline: number): Promise<Performed<RefundEnd>> {
    const { refund } = attempt;
    const { db, processor } = this;
    const ended = endOf(refund);
    if (ended) return { ended: true, outcome: ended };
    let answer = await this.ask(attempt, deadline);
    const end = refundEndOf(answer);
    if (end) {
      try {
        const outcome = await checkAgainstOtherRefunds(db, processor, refund, end, deadline);
        if (outcome) return { ended: true, outcome };
        answer = unknown('refused while another refund of the charge has not ended');
      } catch (error) {
        answer = unknown(`the other refunds of the charge cannot be read: ${nameOf(error)}`);
      }
    }
    return staysPending(refund.id, answer, this.log, {
      unknown:
        'The processor has given no final answer. The refund is pending; the money may be on its way.',
      nothing:
        'The processor was not reached. The refund is pending; nothing has gone back so far.',
      extensions: { refund: refund.id, charge: refund.charge_id },
    });
  }

  /**
   * A refund is never abandoned. While the processor is sure to remember the key, send the refund. Later, read the
   * ledger first; if it shows nothing, a new window opens, because any other sender sent it after that look. No attempt
   * starts after its window, even if this process sleeps here: it would be a second refund.
   */
  private async ask({ refund, reservedAt }: Attempt, deadline: number): Promise<ProcessorAnswer> {
    if (refund.processor !== this.processor.name) {
      const reason = `reserved for ${refund.processor}, this process has ${this.processor.name}`;
      return { kind: 'refused', reason, alarm: true };
    }
    const { keyWindowMs } = this.givingUp;
    const look = () => lookForRefund(this.db, this.processor, refund, deadline);
    let windowEnd = reservedAt + keyWindowMs;
    if (elapsedMs() >= windowEnd) {
      windowEnd = elapsedMs() + keyWindowMs; // measured before the look
      try {
        const found = await look();
        if (found) return found;
      } catch (error) {
        return unknown(`the ledger cannot be read: ${nameOf(error)}`);
      }
    }
    const notAfter = Math.min(windowEnd, deadline);
    const answer = await this.processor.refund(refund.id, refund.processor_parameters, notAfter);
    if (answer.kind !== 'unknown' || !answer.stored) return answer;
    return (await look().catch(() => undefined)) ?? answer;
  }
}

async function loadPendingRefund(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<Attempt | undefined> {
  const asked = elapsedMs(); // before the query: if the process sleeps during it, the refund counts as older
  const refund = await findPendingRefund(db, accountId, id);
  return refund && { refund, reservedAt: asked - refund.age_ms };
}

function endOf({ status, failure_code, processor_reference }: Refund): RefundEnd | undefined {
  if (status === 'succeeded') return { status, reference: processor_reference ?? '' };
  if (status === 'failed')
    return { status, failureCode: failure_code ?? 'failed', reference: processor_reference };
  return undefined;
}

function unknown(reason: string): ProcessorAnswer {
  return { kind: 'unknown', reason, stored: false };
}
