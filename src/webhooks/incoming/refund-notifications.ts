import { Injectable, Logger } from '@nestjs/common';
import type { Charge } from '../../charges/charge.entity.js';
import { findCharge, findChargePaidBy } from '../../charges/charge.queries.js';
import type { OurPayment } from '../../charges/rebuild-charge.js';
import { Completer } from '../../idempotency/completer.js';
import { Database, type Tx } from '../../database/database.js';
import { nameOf } from '../../log/fault.js';
import { Problem } from '../../http/problems/problem.js';
import {
  Processor,
  type Notification,
  type ProcessorAnswer,
  type RefundNews,
} from '../../processor/processor.js';
import { refundDiscrepancyOf } from '../../refunds/parked-refunds.js';
import { bookForeignRefund } from '../../refunds/rebuild-refund.js';
import { RefundOperation } from '../../refunds/refund.operation.js';
import { findRefund, findRefundByReference, type RefundEnd } from '../../refunds/refund.queries.js';
import { catchUpWithRefunds } from '../../refunds/refunds-at-processor.js';
import {
  foreignRefundId,
  refundEndOf,
  RefundsBehind,
  reverseRefund,
} from '../../refunds/settle-refund.js';
import { discrepancyOfTerms, parkNotification, type State } from './notification.states.js';
import { PROCESSOR_UNAVAILABLE } from '../../processor/processor.problems.js';

/**
 * What the processor tells of refunds: of ours, by our ids, and of those that somebody made at its own desk, which name
 * no more than their payment. Proof: test/webhooks/incoming/refunds-elsewhere.spec.ts.
 */
@Injectable()
export class RefundNotifications {
  private readonly log = new Logger(RefundNotifications.name);

  constructor(
    private readonly db: Database,
    private readonly completer: Completer,
    private readonly processor: Processor,
    private readonly refunds: RefundOperation,
  ) {}

  /**
   * Finds the charge of ours whose payment was refunded. Outside of any transaction, because it may ask the processor.
   * @param settle ends the charge by its payment: its own answer and notification may still be on their way.
   * @returns what is to be applied; undefined if the payment is none of ours, or if nothing is left to apply.
   */
  async identify(
    { id, type, payment, about }: RefundNews,
    settle: (payment: OurPayment) => Promise<void>,
  ): Promise<Notification | undefined> {
    const { db } = this;
    const charge =
      (await findChargePaidBy(db, this.processor.name, payment)) ??
      (await this.findUnsettled(payment, settle));
    if (!charge) return undefined;
    if (!('reference' in about)) {
      if (about.refunded === charge.amount_refunded) return undefined;
      const [undecided] = (await this.catchUp(charge)).undecided;
      if (undecided) throw undecided.because;
      return undefined;
    }
    const { reference, amount, currency, answer, createdAt } = about;
    const known = await findRefundByReference(db, charge.account_id, reference);
    return {
      id,
      type,
      account: charge.account_id,
      charge: charge.id,
      refund: known?.id ?? foreignRefundId(charge.account_id, reference),
      reference,
      amount,
      currency,
      answer,
      madeElsewhereAt: createdAt.toISOString(),
    };
  }

  private async findUnsettled(
    reference: string,
    settle: (payment: OurPayment) => Promise<void>,
  ): Promise<Charge | undefined> {
    const payment = await this.processor.payment(reference).catch(cannotBeAsked);
    if (payment?.charge === undefined || payment.account === undefined) return undefined;
    const { account, charge: id } = payment;
    const charge = await findCharge(this.db, account, id);
    if (charge?.status === 'pending') await settle({ ...payment, account, charge: id });
    const paid = await findChargePaidBy(this.db, this.processor.name, reference);
    // Lost rows are for reconciliation; a payment that was parked is in no charge, and so is what goes back of it.
    if (!paid) this.log.warn(`a refund of ${reference}, which no charge shows: ${account}, ${id}`);
    return paid;
  }

  /**
   * Applies news of a refund in the transaction that notes them.
   * @param now what the processor says of the refund today, if it was asked.
   * @throws RefundsBehind if it must be asked before this can be decided.
   * @throws RefundUndecided while it may be a pending one of ours: the processor sends it again.
   */
  async apply(tx: Tx, news: Notification, now?: ProcessorAnswer): Promise<State> {
    const { account, refund: id = '' } = news;
    const end = refundEndOf(now ?? news.answer);
    if (!end) throw new Error(`${news.id} tells no end`);
    const isForeign = news.madeElsewhereAt !== undefined;
    const find = () =>
      isForeign ? findRefundByReference(tx, account, news.reference) : findRefund(tx, account, id);
    let refund = await find();
    if (!refund) {
      if (!isForeign) return 'waiting';
      if (await this.book(tx, news, end)) return 'applied';
      refund = await find(); // another writer was faster
      if (!refund) {
        if (now === undefined) throw new RefundsBehind(`${news.reference} does not fit`);
        return parkNotification(tx, news, 'amount_mismatch', this.log);
      }
    }
    const of = { ...news, charge: refund.charge_id }; // ours decides which charge it is about
    const discrepancy = discrepancyOfTerms(this.processor, refund, news);
    if (discrepancy) return parkNotification(tx, of, discrepancy, this.log);
    if (refund.status === 'pending') {
      if (await this.completer.settleFromOutside(tx, this.refunds, account, id, end))
        return 'applied';
      refund = (await findRefund(tx, account, id)) ?? refund; // somebody was faster
      if (refund.status === 'pending') throw new Error(`${id} is pending, but nobody works on it`);
    }
    if (end.status === 'failed') {
      const { reference } = news;
      const reversed = await reverseRefund(tx, refund, { ...end, reference });
      if (reversed?.alarm) this.log.error(reversed.alarm);
      return 'applied';
    }
    const contradiction = refundDiscrepancyOf(refund, end);
    if (!contradiction) return 'applied';
    // Told late, most likely: it succeeded, and then it failed. What it is now decides.
    if (refund.processor_reference === end.reference && now === undefined)
      throw new RefundsBehind(`${id} failed, and is told to have succeeded`);
    return parkNotification(tx, of, contradiction, this.log);
  }

  /** Asks the processor for all refunds of the charge, and lets our books catch up. @returns what this one is now. */
  async look({ account, charge, refund: id, reference, answer }: Notification) {
    const { db } = this;
    const refund = id === undefined ? undefined : await findRefund(db, account, id);
    const of = await findCharge(db, account, refund?.charge_id ?? charge);
    if (!of) return answer;
    const { listed } = await this.catchUp(of);
    return listed.find((paid) => paid.reference === reference)?.answer ?? answer;
  }

  private catchUp(charge: Charge) {
    return catchUpWithRefunds(this.db, this.processor, charge).catch(cannotBeAsked);
  }

  private book(tx: Tx, news: Notification, end: RefundEnd) {
    const { account: account_id, charge: id, madeElsewhereAt, ...paid } = news;
    const createdAt = new Date(madeElsewhereAt!);
    return bookForeignRefund(tx, this.processor, { account_id, id }, { ...paid, createdAt }, end);
  }
}

/** The processor sends the notification again. */
function cannotBeAsked(error: unknown): never {
  throw new Problem(PROCESSOR_UNAVAILABLE, `The processor cannot be asked: ${nameOf(error)}.`, {
    headers: { 'Retry-After': '1' },
  });
}
