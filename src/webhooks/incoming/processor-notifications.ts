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
import { RefundsOutOfDate } from '../../refunds/settle-refund.js';
import { discrepancyOfTerms, parkNotification, type State } from './notification.states.js';
import { RefundNotifications } from './refund-notifications.js';

/**
 * Applies the processor's webhooks. They arrive at least once, late, in any order, and even before our own commit. Each
 * event id is applied once, in the transaction of its effect. It settles a pending object exactly as the lease holder
 * would; the second writer finds it settled. Proof: test/webhooks/incoming/.
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

  /** A notification without our ids is first matched by its payment. */
  async receive(news: Notification | RefundNews): Promise<void> {
    if (!('about' in news)) return this.take(news);
    const { id, type } = news;
    const notification = await this.refunds.identify(news, async (payment) => {
      await this.db.transaction((tx) => this.applyToCharge(tx, { id, type, ...payment }));
    });
    if (notification) await this.take(notification);
  }

  /** Skips events that name an account which we do not have: another installation may share the Stripe account. */
  private take(notification: Notification): Promise<void> {
    const { id, type, account, charge, refund } = notification;
    const fact = JSON.stringify(notification);
    // Waits for an uncommitted insert of the same id. If that rolls back, the event is applied here.
    return this.claimAndApply(notification, (tx) =>
      tx.query(
        `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact)
         SELECT $1, $2, $3, id, $5, $6, 'waiting', $7::json FROM accounts WHERE id = $4
         ON CONFLICT DO NOTHING RETURNING id`,
        [this.processor.name, id, type, account, charge, refund ?? null, fact],
      ),
    );
  }

  /** Applies a waiting notification. One that cannot be applied stays waiting and does not block the others. */
  async applyOne(fact: Notification): Promise<void> {
    try {
      await this.claimAndApply(fact, (tx) =>
        tx.query(
          `SELECT 1 FROM processor_events WHERE processor = $1 AND id = $2 AND state = 'waiting' FOR UPDATE`,
          [this.processor.name, fact.id],
        ),
      );
    } catch (error) {
      if (isConnectionLost(error)) throw error; // the others would also fail
      this.log.error(`${fact.id} cannot be applied to ${fact.charge}`, error);
    }
  }

  /**
   * Claims the event's row and applies the event, in one transaction. If that finds that the processor must be asked, it
   * rolls back and runs again with the processor's answer.
   * @param claim returns no row if the event is already applied, or its account is not ours.
   */
  private async claimAndApply(
    notification: Notification,
    claim: (tx: Tx) => Promise<unknown[]>,
  ): Promise<void> {
    const run = (now?: ProcessorAnswer) =>
      this.db.transaction(async (tx) => {
        const claimed = await claim(tx);
        if (claimed.length > 0) await this.applyAndRecord(tx, notification, now);
        // Crash here: nothing was written. The processor got no 2xx for a new event, and sends it again; a waiting one
        // still waits.
      });
    try {
      await run();
    } catch (error) {
      if (!(error instanceof RefundsOutOfDate)) throw error;
      await run(await this.refunds.look(notification));
    }
    // Crash here: it is applied. The next delivery of the same id changes nothing.
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
    if (!end) throw new Error(`${notification.id} reports no final state`);
    if (charge.status === 'pending') {
      if (await this.completer.settleFromOutside(tx, this.charges, account, id, end))
        return 'applied';
      charge = await findCharge(tx, account, id); // another writer was faster
      if (charge?.status === 'pending')
        throw new Error(`${id} is pending but has no unfinished record`);
    }
    if (!charge || end.status !== 'succeeded') return 'applied'; // a failure: this attempt took nothing
    const contradiction = discrepancyOf(charge, end.reference);
    return contradiction ? parkNotification(tx, notification, contradiction, this.log) : 'applied';
  }
}
