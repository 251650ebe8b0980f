import { Inject, Injectable, Logger } from '@nestjs/common';
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
import type { Order } from '../orders/order.entity.js';
import { holdOrder } from '../orders/order.queries.js';
import { elapsedMs } from '../database/clock.js';
import type { Queryable } from '../database/database.js';
import { Processor, type PaymentParameters } from '../processor/processor.js';
import { holdStock } from '../stock/stock.js';
import type { CreateCharge } from './charge.dto.js';
import type { Charge } from './charge.entity.js';
import {
  findCharge,
  findPendingCharge,
  insertPendingCharge,
  pendingCharge,
  writePendingCharge,
  type PaymentEnd,
  type NewCharge,
} from './charge.queries.js';
import {
  ABANDON_LIMITS,
  abandon,
  deadlinesOf,
  spanOf,
  type AbandonLimits,
  type AttemptTimes,
  type Ending,
} from './abandon.js';
import { payableOrder, whyNotPayable } from './order-to-pay.js';
import { staysPending } from './outside.js';
import { isAnythingParked, parkUnlessAccountedFor, type Discrepancy } from './parked-payments.js';
import { chargeAnswer, endOf, settleCharge, settlementOf } from './settle-charge.js';
import { linkTo } from '../http/resource-link.js';

/** A pending charge and when it was reserved. */
interface Attempt {
  charge: Charge;
  /**
   * By `elapsedMs()`, which includes suspended time. Computed from the charge's age, which the database measures.
   * Negative if the charge was reserved before this process started.
   */
  reservedAt: number;
}

/**
 * `POST /charges` in three beats: reserve the pending charge; let the processor take the money under the charge's id;
 * settle. Proof: test/guarantees/crash-matrix.spec.ts, lost-response.spec.ts, duplicates.spec.ts.
 */
@Injectable()
export class ChargeOperation implements Operation<Attempt, PaymentEnd> {
  readonly name = 'POST /charges';
  readonly idPrefix = 'ch';
  readonly outside: OutsideCall<Attempt, PaymentEnd>;
  private readonly log = new Logger(ChargeOperation.name);

  constructor(
    operations: OperationRegistry,
    private readonly processor: Processor,
    @Inject(ABANDON_LIMITS) private readonly abandonLimits: AbandonLimits,
  ) {
    this.outside = {
      load: (db, intent) => this.load(db, intent),
      perform: (attempt, _intent, leftMs, extendLease) =>
        this.perform(attempt.charge, {
          reservedAt: attempt.reservedAt,
          deadline: elapsedMs() + leftMs,
          nextDeadline: deadlinesOf(extendLease),
        }),
      settle: ({ charge }, end, intent) => settlementOf(charge, end, intent),
      late: {
        isIrreversible: (end) => end.status === 'succeeded',
        report: async (tx, { charge }, end) => {
          if (end.status !== 'succeeded') return;
          const line = await parkUnlessAccountedFor(tx, charge, end.reference);
          if (line) this.log.error(line);
        },
      },
    };
    operations.register(this);
  }

  /** The first beat: a single statement, unless the charge pays an order. */
  plan(accountId: string, request: CreateCharge): Plan<Attempt> {
    if (request.order !== undefined) return this.planForOrder(accountId, request, request.order);
    const begun = elapsedMs();
    const terms = request as Required<CreateCharge>; // validation requires both without an order
    return {
      insert: (intent) => {
        const charge = this.newCharge(intent, request, terms);
        return {
          ...writePendingCharge(charge),
          work: (createdAt) => ({ charge: pendingCharge(charge, createdAt), reservedAt: begun }),
        };
      },
    };
  }

  private planForOrder(accountId: string, request: CreateCharge, orderId: string): Plan<Attempt> {
    return {
      reserve: async (tx, intent) => {
        const begun = elapsedMs();
        // Read without a lock. `holdOrder` fails if the order has changed since. Lock order everywhere: charge, order,
        // stock.
        const order = await payableOrder(tx, accountId, request, orderId);
        const terms = { amount: order.total, currency: order.currency };
        const { id } = intent;
        const charge = await insertPendingCharge(tx, this.newCharge(intent, request, terms, order));
        // This intent already has its charge, or the order has a live charge (unique index) or has changed.
        if (!charge || !(await holdOrder(tx, order, id)))
          throw (await whyNotPayable(tx, order)) ?? new ReserveRaced();
        if (!(await holdStock(tx, accountId, id, order.items))) {
          const failed = await settleCharge(tx, OUT_OF_STOCK, { accountId, id });
          return { answer: chargeAnswer(failed, intent.requestId) };
        }
        return { work: { charge, reservedAt: begun } };
      },
    };
  }

  /**
   * Fixes the parameters for the processor. A later release must not change them: the processor would refuse its key.
   */
  private newCharge(
    { accountId, id }: Intent,
    request: CreateCharge,
    { amount, currency }: { amount: number; currency: string },
    order?: Order,
  ): NewCharge {
    const { payment_method, description, receipt_email, metadata } = request;
    const parameters: PaymentParameters = {
      amount,
      currency,
      payment_method,
      // Stripe refuses an empty description.
      ...(description && { description }),
      metadata: { charge: id, account: accountId, ...(order && { order: order.id }) },
    };
    return {
      account_id: accountId,
      id,
      amount,
      currency,
      payment_method,
      description: description ?? null,
      receipt_email: receipt_email ?? null,
      order_id: order?.id ?? null,
      metadata: metadata ?? {},
      processor: this.processor.name,
      processor_parameters: this.processor.prepare(parameters),
    };
  }

  async find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined> {
    const charge = await findCharge(db, accountId, id);
    if (!charge) return undefined;
    const failed =
      charge.status === 'failed' && !(await isAnythingParked(db, accountId, id, TAKEN_AFTER_ALL));
    return { ...linkTo('charge', id), failed, createdAt: charge.created_at };
  }

  private async load(db: Queryable, { accountId, id }: Intent): Promise<Attempt> {
    const asked = elapsedMs(); // before the query: if the process is suspended during it, the charge counts as older
    const charge = await findPendingCharge(db, accountId, id);
    if (!charge) throw new Error(`${id} has an unfinished record but is not pending`); // the audit reports it as well
    return { charge, reservedAt: asked - charge.age_ms };
  }

  private async perform(charge: Charge, times: AttemptTimes): Promise<Performed<PaymentEnd>> {
    const answer = await this.ask(charge, times);
    const outcome = endOf(answer);
    if (outcome) {
      if (answer.kind === 'abandoned') {
        this.log.warn(
          `${charge.id} is abandoned: nothing was taken before its deadline, and nothing can be taken now`,
        );
      }
      return { ended: true, outcome };
    }
    return staysPending(charge.id, answer, this.log, {
      unknown:
        'The processor did not answer in time. The charge is pending; it may have been taken.',
      nothing:
        'The processor was not reached. The charge is pending; nothing has been taken so far.',
      extensions: { charge: charge.id },
    });
  }

  /** Sends the payment, for the first time or again. After the deadline: abandons the charge. */
  private async ask(charge: Charge, times: AttemptTimes): Promise<Ending> {
    if (charge.processor !== this.processor.name) {
      const reason = `reserved for ${charge.processor}, this process has ${this.processor.name}`;
      return { kind: 'refused', reason, alarm: true };
    }
    const { deadlineMs, keyWindowMs } = this.abandonLimits;
    // After the key's window the payment is never repeated: the processor could execute it as a new payment.
    const end = times.reservedAt + Math.min(deadlineMs, keyWindowMs);
    if (elapsedMs() >= end) return abandon(this.processor, charge, times, this.abandonLimits);
    const notAfter = Math.min(end, times.deadline);
    const answer = await this.processor.pay(charge.id, charge.processor_parameters, notAfter);
    if (answer.kind !== 'unknown' || !answer.stored) return answer;
    // The processor replays this stored failure on every repeat. Its ledger may already show the result.
    const found = await this.processor
      .look(charge.id, spanOf(charge, deadlineMs), times.nextDeadline)
      .catch(() => undefined);
    return found?.answer ?? answer;
  }
}

/** Reasons that show that a failed charge may have taken money. */
const TAKEN_AFTER_ALL: readonly Discrepancy[] = [
  'succeeded_after_failed',
  'second_payment',
  'amount_mismatch',
  'another_processor',
  'never_applied',
];

const OUT_OF_STOCK: PaymentEnd = {
  status: 'failed',
  failureCode: 'insufficient_inventory',
  declineCode: null,
  reference: null,
};
