import { Injectable, Logger } from '@nestjs/common';
import { ChargeOperation } from '../../charges/charge.operation.js';
import { findCharge } from '../../charges/charge.queries.js';
import { discrepancyOf } from '../../charges/parked-payments.js';
import { endOf } from '../../charges/settle-charge.js';
import { Completer } from '../../idempotency/completer.js';
import { isConnectionLost } from '../../idempotency/errors.js';
import { Database, type Tx } from '../../database/database.js';
import {
  Processor,
  type Notification,
  type ProcessorAnswer,
  type RefundNews,
} from '../../processor/processor.js';
import { RefundsBehind } from '../../refunds/settle-refund.js';
import { discrepancyOfTerms, parkNotification, type State } from './notification.states.js';
import { RefundNotifications } from './refund-notifications.js';

/**
 * What the processor tells us by itself: at least once, late, in any order, also before our own commit. Each event id
 * is applied once, in the transaction of its effect. It settles what is still pending exactly as the holder of the
 * lease would; whoever is second finds it done. Proof: test/webhooks/incoming/.
 */
@Injectable()
export class ProcessorNotifications {
  private readonly log = new Logger(ProcessorNotifications.name);

  constructor(
    private readonly db: Database,
    private readonly completer: Completer,
    private readonly processor: Processor,
    private readonly charges: ChargeOperation,
    private readonly refunds: RefundNotifications,
  ) {}

  /** What names none of ours is found by its payment first. */
  async receive(news: Notification | RefundNews): Promise<void> {
    if (!('about' in news)) return this.take(news);
    const { id, type } = news;
    const notification = await this.refunds.identify(news, async (payment) => {
      await this.db.transaction((tx) => this.applyToCharge(tx, { id, type, ...payment }));
    });
    if (notification) await this.take(notification);
  }

  private take(notification: Notification): Promise<void> {
    return this.orAfterALook(notification, (now) => this.insertAndApply(notification, now));
  }

  /** A transaction that finds that the processor must be asked is undone; it is run again with what is true now. */
  private async orAfterALook(
    notification: Notification,
    run: (now?: ProcessorAnswer) => Promise<void>,
  ): Promise<void> {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof RefundsBehind)) throw error;
      await run(await this.refunds.look(notification));
    }
  }

  /**
   * Insert-or-find by the processor's event id, and its effect, in one transaction. Nothing is kept that names an
   * account which is not here: the Stripe account is shared, and such a charge cannot appear.
   */
  private async insertAndApply(notification: Notification, now?: ProcessorAnswer): Promise<void> {
    await this.db.transaction(async (tx) => {
      const { id, type, account, charge, refund } = notification;
      // The same id, not committed yet, is waited for: it is applied here if its transaction is undone.
      const inserted = await tx.query(
        `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact)
         SELECT $1, $2, $3, id, $5, $6, 'waiting', $7::json FROM accounts WHERE id = $4
         ON CONFLICT DO NOTHING RETURNING id`,
        [
          this.processor.name,
          id,
          type,
          account,
          charge,
          refund ?? null,
          JSON.stringify(notification),
        ],
      );
      if (inserted.length > 0) await this.applyAndRecord(tx, notification, now);
      // Dies here: nothing was written, and the processor, which heard no 2xx, sends it again.
    });
    // Dies here: it is applied; the next delivery of the id finds that.
  }

  /** Applies one that has waited; one that cannot be applied waits on, and stands in the way of no other. */
  async applyOne(fact: Notification): Promise<void> {
    try {
      await this.orAfterALook(fact, (now) => this.lockAndApply(fact, now));
    } catch (error) {
      if (isConnectionLost(error)) throw error; // nothing else would go better now
      this.log.error(`${fact.id} cannot be applied to ${fact.charge}`, error);
    }
  }

  private async lockAndApply(fact: Notification, now?: ProcessorAnswer): Promise<void> {
    await this.db.transaction(async (tx) => {
      const locked = await tx.query(
        `SELECT 1 FROM processor_events WHERE processor = $1 AND id = $2 AND state = 'waiting' FOR UPDATE`,
        [this.processor.name, fact.id],
      );
      if (locked.length > 0) await this.applyAndRecord(tx, fact, now);
    });
  }

  private async applyAndRecord(
    tx: Tx,
    notification: Notification,
    now?: ProcessorAnswer,
  ): Promise<void> {
    const state =
      notification.refund === undefined
        ? await this.applyToCharge(tx, notification)
        : await this.refunds.apply(tx, notification, now);
    if (state === 'waiting') return;
    await tx.query(`UPDATE processor_events SET state = $3 WHERE processor = $1 AND id = $2`, [
      this.processor.name,
      notification.id,
      state,
    ]);
  }

  private async applyToCharge(tx: Tx, notification: Notification): Promise<State> {
    const { account, charge: id, answer } = notification;
    let charge = await findCharge(tx, account, id);
    if (!charge) return 'waiting';
    const discrepancy = discrepancyOfTerms(this.processor, charge, notification);
    if (discrepancy) return parkNotification(tx, notification, discrepancy, this.log);
    const end = endOf(answer);
    if (!end) throw new Error(`${notification.id} tells no end`);
    if (charge.status === 'pending') {
      if (await this.completer.settleFromOutside(tx, this.charges, account, id, end))
        return 'applied';
      charge = await findCharge(tx, account, id); // somebody was faster
      if (charge?.status === 'pending') throw new Error(`${id} is pending, but nobody works on it`);
    }
    if (!charge || end.status !== 'succeeded') return 'applied'; // nothing was taken, or not by this attempt
    const contradiction = discrepancyOf(charge, end.reference);
    return contradiction ? parkNotification(tx, notification, contradiction, this.log) : 'applied';
  }
}
