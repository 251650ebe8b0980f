import { Injectable, Logger } from '@nestjs/common';
import type { Charge } from '../../charges/charge.entity.js';
import { findCharge, findChargePaidBy, type PaymentEnd } from '../../charges/charge.queries.js';
import type { OurPayment } from '../../charges/rebuild-charge.js';
import { endOf } from '../../charges/settle-charge.js';
import { Completer } from '../../idempotency/completer.js';
import { Database, type Tx } from '../../database/database.js';
import { nameOf } from '../../log/redacted-error.js';
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
import { findRefund, findRefundByReference } from '../../refunds/refund.queries.js';
import { importRefunds } from '../../refunds/refunds-at-processor.js';
import { foreignRefundId, RefundsOutOfDate, reverseRefund } from '../../refunds/settle-refund.js';
import { discrepancyOfTerms, parkNotification, type State } from './notification.states.js';
import { PROCESSOR_UNAVAILABLE } from '../../processor/processor.problems.js';

/**
 * Applies the processor's webhooks about refunds: ours, by our ids, and those made at the processor, by their payment.
 * Proof: test/webhooks/incoming/refunds/.
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
   * Finds our charge whose payment was refunded. Runs outside of any transaction, because it may ask the processor.
   * @param settle ends the charge by its payment: the charge's answer and notification may not have arrived yet.
   * @returns what is to be applied; undefined if the payment is not ours, or nothing is left to apply.
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
      const [undecided] = (await this.importRefunds(charge)).undecided;
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
    // Reconciliation rebuilds lost rows. A parked payment belongs to no charge; neither do its refunds.
    if (!paid) this.log.warn(`a refund of ${reference}, which no charge shows: ${account}, ${id}`);
    return paid;
  }

  /**
   * Applies news of a refund, in the transaction that records them.
   * @param now the processor's current answer about the refund, if it was asked.
   * @throws RefundsOutOfDate if the processor must be asked first.
   * @throws RefundUndecided while it may be a pending refund of ours: the processor sends the news again.
   */
  async apply(tx: Tx, news: Notification, now?: ProcessorAnswer): Promise<State> {
    const { account, refund: id = '' } = news;
    const end = endOf(now ?? news.answer);
    if (!end) throw new Error(`${news.id} reports no final state`);
    const isForeign = news.madeElsewhereAt !== undefined;
    const find = () =>
      isForeign ? findRefundByReference(tx, account, news.reference) : findRefund(tx, account, id);
    let refund = await find();
    if (!refund) {
      if (!isForeign) return 'waiting';
      if (await this.book(tx, news, end)) return 'applied';
      refund = await find(); // another writer was faster
      if (!refund) {
        if (now === undefined) throw new RefundsOutOfDate(`${news.reference} does not fit`);
        return parkNotification(tx, news, 'amount_mismatch', this.log);
      }
    }
    const of = { ...news, charge: refund.charge_id }; // our row, not the metadata, names the charge
    const discrepancy = discrepancyOfTerms(this.processor, refund, news);
    if (discrepancy) return parkNotification(tx, of, discrepancy, this.log);
    if (refund.status === 'pending') {
      if (await this.completer.settleFromOutside(tx, this.refunds, account, id, end))
        return 'applied';
      refund = (await findRefund(tx, account, id)) ?? refund; // another writer was faster
      if (refund.status === 'pending')
        throw new Error(`${id} is pending but has no unfinished record`);
    }
    if (end.status === 'failed') {
      const { reference } = news;
      const reversed = await reverseRefund(tx, refund, { ...end, reference });
      if (reversed?.alarm) this.log.error(reversed.alarm);
      return 'applied';
    }
    const contradiction = refundDiscrepancyOf(refund, end);
    if (!contradiction) return 'applied';
    // Probably a late notification: it succeeded, then failed. Its current state at the processor decides.
    if (refund.processor_reference === end.reference && now === undefined)
      throw new RefundsOutOfDate(`${id} failed, but a notification says that it succeeded`);
    return parkNotification(tx, of, contradiction, this.log);
  }

  /** Books all refunds of the charge from the processor's list. @returns this refund's current answer. */
  async look({ account, charge, refund: id, reference, answer }: Notification) {
    const { db } = this;
    const refund = id === undefined ? undefined : await findRefund(db, account, id);
    const of = await findCharge(db, account, refund?.charge_id ?? charge);
    if (!of) return answer;
    const { listed } = await this.importRefunds(of);
    return listed.find((paid) => paid.reference === reference)?.answer ?? answer;
  }

  private importRefunds(charge: Charge) {
    return importRefunds(this.db, this.processor, charge).catch(cannotBeAsked);
  }

  private book(tx: Tx, news: Notification, end: PaymentEnd) {
    const { account: account_id, charge: id, madeElsewhereAt, ...paid } = news;
    const createdAt = new Date(madeElsewhereAt!);
    return bookForeignRefund(tx, this.processor, { account_id, id }, { ...paid, createdAt }, end);
  }
}

/** Answers 503, so that the processor sends the notification again. */
function cannotBeAsked(error: unknown): never {
  throw new Problem(PROCESSOR_UNAVAILABLE, `The processor cannot be asked: ${nameOf(error)}.`);
}
