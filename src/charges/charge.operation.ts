import { Inject, Injectable, Logger } from '@nestjs/common';
import { ReserveRaced } from '../idempotency/errors.js';
import {
  OperationRegistry,
  type FoundResource,
  type Intent,
  type LaterBeats,
  type Operation,
  type Performed,
  type Plan,
} from '../idempotency/operation.js';
import { chargeLink, type Order } from '../orders/order.entity.js';
import { refuseUnlessPayable, whyOrderIsClosed } from '../orders/order.problems.js';
import { findOrder, holdOrder } from '../orders/order.queries.js';
import { elapsedMs } from '../platform/clock.js';
import type { Queryable, Tx } from '../platform/database.js';
import { Problem, validationFailed } from '../platform/problem.js';
import { Processor, type PaymentParameters } from '../processor/processor.js';
import { holdStock } from '../stock/stock.js';
import type { CreateCharge } from './charge.dto.js';
import type { Charge } from './charge.entity.js';
import {
  findCharge,
  findChargeOfLostOrder,
  findPendingCharge,
  insertPendingCharge,
  type ChargeEnd,
} from './charge.queries.js';
import { deadlinesOf, giveUp, type AttemptTimes, type Ending, type GivingUp } from './give-up.js';
import { isAnythingParked, parkUnlessAccountedFor, type Misfit } from './parked-payments.js';
import { chargeAnswer, endOf, settleCharge } from './settle-charge.js';

export const GIVING_UP = Symbol('GIVING_UP');

/** A pending charge, as the second beat needs it. */
interface Attempt {
  charge: Charge;
  /**
   * By `elapsedMs()`, from the age that the database's clock told; may be negative. A process that sleeps
   * after it has read it notices.
   */
  reservedAt: number;
}

/**
 * `POST /charges` in three beats: reserve the pending charge, let the processor take the money under the charge's
 * own id, settle. Proof: test/guarantees/.
 */
@Injectable()
export class ChargeOperation implements Operation<Attempt, ChargeEnd> {
  readonly name = 'POST /charges';
  readonly idPrefix = 'ch';
  readonly later: LaterBeats<Attempt, ChargeEnd>;
  private readonly log = new Logger(ChargeOperation.name);

  constructor(
    operations: OperationRegistry,
    private readonly processor: Processor,
    @Inject(GIVING_UP) private readonly givingUp: GivingUp,
  ) {
    this.later = {
      load: (db, intent) => this.load(db, intent),
      perform: (attempt, _intent, leftMs, extendLease) =>
        this.perform(attempt.charge, {
          reservedAt: attempt.reservedAt,
          deadline: elapsedMs() + leftMs,
          nextDeadline: deadlinesOf(extendLease),
        }),
      settle: async (tx, _attempt, end, intent) =>
        chargeAnswer(await settleCharge(tx, end, intent), intent.requestId),
      late: {
        isFact: (end) => end.status === 'succeeded',
        tell: async (tx, { charge }, end) => {
          if (end.status !== 'succeeded') return;
          const line = await parkUnlessAccountedFor(tx, charge, end.reference);
          if (line) this.log.error(line);
        },
      },
    };
    operations.register(this);
  }

  /** The first beat. The parameters for the processor are fixed here; no later change of code alters them. */
  plan(accountId: string, request: CreateCharge): Plan<Attempt> {
    return {
      reserve: async (tx, { id, requestId }) => {
        const begun = elapsedMs();
        // Read without a lock; the hold below fails if it has moved on. Locks go charge, order, stock, as everywhere.
        const order = await orderOf(tx, accountId, request);
        const { amount, currency } = order
          ? { amount: order.total, currency: order.currency }
          : (request as Required<CreateCharge>);
        const parameters: PaymentParameters = {
          amount,
          currency,
          payment_method: request.payment_method,
          // An empty one is ours to keep; Stripe would refuse the charge for it.
          ...(request.description && { description: request.description }),
          metadata: { charge: id, account: accountId, ...(order && { order: order.id }) },
        };
        const charge = await insertPendingCharge(tx, {
          account_id: accountId,
          id,
          amount,
          currency,
          payment_method: request.payment_method,
          description: request.description ?? null,
          receipt_email: request.receipt_email ?? null,
          order_id: order?.id ?? null,
          metadata: request.metadata ?? {},
          processor: this.processor.name,
          processor_parameters: this.processor.prepare(parameters),
        });
        // The id is taken (this intent has made its charge before) or, by the unique index, the order.
        if (!charge)
          throw order ? ((await whyNow(tx, order)) ?? new ReserveRaced()) : new ReserveRaced();
        if (order) {
          if (!(await holdOrder(tx, order, id)))
            throw (await whyNow(tx, order)) ?? new ReserveRaced();
          const short = await holdStock(tx, accountId, id, order.items);
          if (short.length > 0) {
            const failed = await settleCharge(tx, OUT_OF_STOCK, { accountId, id });
            return { answer: chargeAnswer(failed, requestId) };
          }
        }
        return { work: { charge, reservedAt: begun } };
      },
    };
  }

  async find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined> {
    const charge = await findCharge(db, accountId, id);
    if (!charge) return undefined;
    const failed =
      charge.status === 'failed' && !(await isAnythingParked(db, accountId, id, TAKEN_AFTER_ALL));
    return { ...chargeLink(id), failed, createdAt: charge.created_at };
  }

  private async load(db: Queryable, { accountId, id }: Intent): Promise<Attempt> {
    const asked = elapsedMs(); // before: a process that sleeps while it is told counts the charge as older
    const charge = await findPendingCharge(db, accountId, id);
    if (!charge) throw new Error(`${id} has an unfinished record but is not pending`); // the auditor looks for this, too
    return { charge, reservedAt: asked - charge.age_ms };
  }

  private async perform(charge: Charge, times: AttemptTimes): Promise<Performed<ChargeEnd>> {
    const answer = await this.ask(charge, times);
    const outcome = endOf(answer);
    if (outcome) {
      if (answer.kind === 'abandoned') {
        this.log.warn(
          `${charge.id} is given up: nothing was taken before its deadline, nothing can be after it`,
        );
      }
      return { ended: true, outcome };
    }
    if (answer.kind === 'refused' || answer.kind === 'unknown') {
      this.log[answer.kind === 'refused' && answer.alarm ? 'error' : 'warn'](
        `${charge.id} stays pending: ${answer.reason}`,
      );
    }
    return open(charge, answer);
  }

  /** Asks the processor what became of the charge, which makes it happen while its time lasts. */
  private async ask(charge: Charge, times: AttemptTimes): Promise<Ending> {
    if (charge.processor !== this.processor.name) {
      const reason = `reserved for ${charge.processor}, this process has ${this.processor.name}`;
      return { kind: 'refused', reason, alarm: true };
    }
    const { deadlineMs, keyWindowMs } = this.givingUp;
    // After its window the original is never repeated, whatever the deadline says: it would be a new payment.
    const end = times.reservedAt + Math.min(deadlineMs, keyWindowMs);
    if (elapsedMs() >= end) return giveUp(this.processor, charge, times, this.givingUp);
    const notAfter = Math.min(end, times.deadline);
    const answer = await this.processor.pay(charge.id, charge.processor_parameters, notAfter);
    if (answer.kind !== 'unknown' || !answer.stored) return answer;
    // The processor will repeat this failure for ever; its ledger may know better already.
    const span = {
      from: charge.created_at,
      to: new Date(charge.created_at.getTime() + this.givingUp.deadlineMs),
    };
    const { nextDeadline } = times;
    const found = await this.processor.look(charge.id, span, nextDeadline).catch(() => undefined);
    return found?.answer ?? answer;
  }
}

/** What may be parked for a charge that failed. */
const TAKEN_AFTER_ALL: readonly Misfit[] = [
  'succeeded_after_failed',
  'second_payment',
  'amount_mismatch',
  'another_processor',
  'never_applied',
];

const OUT_OF_STOCK: ChargeEnd = {
  status: 'failed',
  failureCode: 'insufficient_inventory',
  declineCode: null,
  reference: null,
};

/** The order that a charge is to pay, if it names one. @throws Problem 404, 400 or 409. */
async function orderOf(
  tx: Tx,
  accountId: string,
  request: CreateCharge,
): Promise<Order | undefined> {
  if (request.order === undefined) return undefined;
  const order = await findOrder(tx, accountId, request.order);
  if (!order) throw new Problem('not_found', 'No such order.', { retry: 'after_fix' });
  const errors = [
    {
      pointer: '/amount',
      detail: `must be the order's total, ${order.total}, or left out`,
      given: request.amount,
      ours: order.total,
    },
    {
      pointer: '/currency',
      detail: `must be the order's, ${order.currency}, or left out`,
      given: request.currency,
      ours: order.currency,
    },
  ].filter(({ given, ours }) => given !== undefined && given !== ours);
  if (errors.length > 0)
    throw validationFailed(errors.map(({ pointer, detail }) => ({ pointer, detail })));
  const closed = whyOrderIsClosed(order);
  if (closed) throw closed;
  refuseUnlessPayable(order);
  return order;
}

/** What stands in the way of an order that was open when it was read. */
async function whyNow(tx: Tx, { account_id, id }: Order): Promise<Problem | undefined> {
  const order = await findOrder(tx, account_id, id);
  const closed = order && whyOrderIsClosed(order);
  if (closed) return closed;
  // Paid before a restore: the order does not show it, its charge was rebuilt from the processor's ledger.
  const charge = await findChargeOfLostOrder(tx, account_id, id);
  if (charge === undefined) return undefined;
  return new Problem('order_already_paid', 'The order is paid.', {
    extensions: { resource: chargeLink(charge) },
  });
}

/** No outcome yet: the charge stays pending and recovery goes on. */
function open(charge: Charge, answer: Ending): Performed<ChargeEnd> {
  return {
    ended: false,
    inDoubt: answer.kind === 'unknown',
    error: (inDoubt, retryAfterSeconds) =>
      new Problem(
        inDoubt ? 'processor_outcome_unknown' : 'processor_unavailable',
        inDoubt
          ? 'The processor did not answer in time. The charge is pending; it may have been taken.'
          : 'The processor was not reached. The charge is pending; nothing has been taken so far.',
        {
          extensions: { charge: charge.id },
          headers: { 'Retry-After': String(retryAfterSeconds) },
        },
      ),
  };
}
