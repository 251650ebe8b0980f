import { Inject, Injectable, Logger } from '@nestjs/common';
import { lockCharge, type PaymentEnd } from '../charges/charge.queries.js';
import type { Charge } from '../charges/charge.entity.js';
import { ABANDON_LIMITS, type AbandonLimits } from '../charges/abandon.js';
import { staysPending } from '../charges/outside.js';
import { isAnythingParked, type Discrepancy } from '../charges/parked-payments.js';
import { endOf } from '../charges/settle-charge.js';
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
import { elapsedMs } from '../database/clock.js';
import { Database, type Queryable, type Tx } from '../database/database.js';
import { nameOf } from '../log/redacted-error.js';
import { objectNotFound } from '../http/problems/problem.js';
import { Processor, unknownAnswer } from '../processor/processor.js';
import { PAYMENT_PENDING } from '../processor/processor.problems.js';
import { refundAmount } from './refund.arithmetic.js';
import { refuseUnlessWhole, type CreateRefund } from './refund.dto.js';
import { parkRefundUnlessAccountedFor, type RefundDiscrepancy } from './parked-refunds.js';
import { CHARGE_NOT_REFUNDABLE, REFUND_EXCEEDS_CHARGE, refusal } from './refund.problems.js';
import {
  findPendingRefund,
  findRefund,
  insertPendingRefund,
  listPendingRefunds,
} from './refund.queries.js';
import { askForRefund, type Attempt } from './refund-attempt.js';
import { checkAgainstOtherRefunds } from './refunds-at-processor.js';
import { refundAnswer, settleRefund } from './settle-refund.js';
import { linkTo } from '../http/resource-link.js';

/** Reasons that show that a failed refund may have given money back. */
const RETURNED_AFTER_ALL: readonly (Discrepancy | RefundDiscrepancy)[] = [
  'refund_succeeded_after_failed',
  'amount_mismatch',
  'another_processor',
  'never_applied',
];

/**
 * `POST /charges/{id}/refunds` in three beats, like a charge. The row lock of the charge keeps concurrent refunds from
 * giving back more than was taken; a CHECK constraint repeats the rule. Proof: test/refunds/.
 */
@Injectable()
export class RefundOperation implements Operation<Attempt, PaymentEnd> {
  readonly name = 'POST /charges/{id}/refunds';
  readonly idPrefix = 're';
  readonly outside: OutsideCall<Attempt, PaymentEnd>;
  private readonly log = new Logger(RefundOperation.name);

  constructor(
    operations: OperationRegistry,
    private readonly db: Database,
    private readonly processor: Processor,
    @Inject(ABANDON_LIMITS) private readonly abandonLimits: AbandonLimits,
  ) {
    this.outside = {
      load: (db, intent) => this.load(db, intent),
      perform: (attempt, _intent, leftMs) =>
        this.perform(attempt, Math.min(elapsedMs() + leftMs, attempt.notAfter ?? Infinity)),
      settle: ({ refund }, end, intent) => ({
        settle: async (tx) =>
          refundAnswer(await settleRefund(tx, refund.charge_id, end, intent), intent.requestId),
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
        const refund = await insertPendingRefund(tx, this.processor, charge, {
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
    return { ...linkTo('refund', id), failed, createdAt: refund.created_at };
  }

  /** The amount to refund, fixed now. @throws Problem 409 */
  private async amountOf(tx: Tx, charge: Charge, wanted: number | undefined): Promise<number> {
    const ofCharge = linkTo('charge', charge.id);
    if (charge.status === 'pending')
      throw refusal(PAYMENT_PENDING, 'The charge has not ended yet.', ofCharge);
    if (charge.status === 'failed')
      throw refusal(CHARGE_NOT_REFUNDABLE, 'The charge took no money.', ofCharge);
    const inFlight = await listPendingRefunds(tx, charge.account_id, charge.id);
    const pending = inFlight.reduce((sum, { amount }) => sum + amount, 0);
    const amount = refundAmount(
      { amount: charge.amount, refunded: charge.amount_refunded, pending },
      wanted,
    );
    if (amount === 'pending') {
      const detail = 'Another refund of this charge has not ended yet.';
      throw refusal(PAYMENT_PENDING, detail, linkTo('refund', inFlight[0]!.id));
    }
    if (amount === 'exceeds') {
      const detail = `${charge.amount - charge.amount_refunded} is left to refund.`;
      throw refusal(REFUND_EXCEEDS_CHARGE, detail, ofCharge);
    }
    return amount;
  }

  private async load(db: Queryable, { accountId, id }: Intent): Promise<Attempt> {
    const asked = elapsedMs(); // before the query: if the process is suspended during it, the refund counts as older
    const refund = await findPendingRefund(db, accountId, id);
    if (!refund) throw new Error(`${id} has an unfinished record but is not pending`);
    return { refund, reservedAt: asked - refund.age_ms };
  }

  /**
   * Asks the processor for the refund. Any process may repeat it.
   * @param deadline in ms on the clock of `elapsedMs()`: when all calls must have ended. If the outcome is unknown, the
   * refund stays pending. The next attempt immediately gets the answer that this one waited for.
   */
  private async perform(attempt: Attempt, deadline: number): Promise<Performed<PaymentEnd>> {
    const { refund } = attempt;
    const { db, processor } = this;
    let answer = await askForRefund(
      db,
      processor,
      attempt,
      this.abandonLimits.keyWindowMs,
      deadline,
    );
    const end = endOf(answer);
    if (end) {
      try {
        const outcome = await checkAgainstOtherRefunds(db, processor, refund, end, deadline);
        if (outcome) return { ended: true, outcome };
        answer = unknownAnswer('refused while another refund of the charge has not ended');
      } catch (error) {
        answer = unknownAnswer(`the other refunds of the charge cannot be read: ${nameOf(error)}`);
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
}
