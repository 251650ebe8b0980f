import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ChargeOperation } from '../../charges/charge.operation.js';
import { findCharge, parkIfFailed, parkPayment } from '../../charges/charge.queries.js';
import { endOf } from '../../charges/settle-charge.js';
import { IdempotencyEngine } from '../../idempotency/engine.js';
import type { Tx } from '../../platform/database.js';
import { Processor, type Notification } from '../../processor/processor.js';
import { RefundOperation } from '../../refunds/refund.operation.js';
import { findRefund } from '../../refunds/refund.queries.js';
import { refundEndOf } from '../../refunds/settle-refund.js';

type State = 'applied' | 'waiting' | 'parked';

/** How long a notification waits for its charge, which may come back from a backup or another instance. */
const KEPT = "interval '30 days'";

/**
 * What the processor tells us by itself: at least once, late, in any order, also before our own commit. Each event id
 * is applied once, in the transaction of its effect. It settles what is still pending exactly as the holder of the
 * lease would; whoever is second finds it done. Proof: test/webhooks/processor.spec.ts.
 */
@Injectable()
export class ProcessorNotifications {
  private readonly log = new Logger(ProcessorNotifications.name);

  constructor(
    private readonly dataSource: DataSource,
    private readonly engine: IdempotencyEngine,
    private readonly processor: Processor,
    private readonly charges: ChargeOperation,
    private readonly refunds: RefundOperation,
  ) {}

  /** Insert-or-find by the processor's event id, and its effect, in one transaction. */
  async receive(notification: Notification): Promise<void> {
    await this.dataSource.transaction(async (tx) => {
      const { id, type, account, charge, refund } = notification;
      const inserted: unknown[] = await tx.query(
        `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact)
         VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7)
         ON CONFLICT (processor, id) DO NOTHING RETURNING id`,
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
      if (inserted.length > 0) await this.applyAndRecord(tx, notification);
    });
  }

  /** Applies what came before its charge did; forgets what nobody came for. */
  async applyWaiting(): Promise<void> {
    const waiting: { fact: Notification }[] = await this.dataSource.query(
      `SELECT event.fact FROM processor_events AS event
       JOIN charges ON charges.account_id = event.account_id AND charges.id = event.charge_id
       WHERE event.state = 'waiting' AND event.processor = $1
       ORDER BY event.received_at LIMIT 100`,
      [this.processor.name],
    );
    for (const { fact } of waiting) {
      await this.dataSource.transaction(async (tx) => {
        const locked: unknown[] = await tx.query(
          `SELECT 1 FROM processor_events WHERE processor = $1 AND id = $2 AND state = 'waiting' FOR UPDATE`,
          [this.processor.name, fact.id],
        );
        if (locked.length > 0) await this.applyAndRecord(tx, fact);
      });
    }
    await this.dataSource.query(
      `DELETE FROM processor_events WHERE state = 'waiting' AND received_at < now() - ${KEPT}`,
    );
  }

  private async applyAndRecord(tx: Tx, notification: Notification): Promise<void> {
    const state = await this.apply(tx, notification);
    if (state === 'waiting') return;
    await tx.query(`UPDATE processor_events SET state = $3 WHERE processor = $1 AND id = $2`, [
      this.processor.name,
      notification.id,
      state,
    ]);
  }

  private apply(tx: Tx, notification: Notification): Promise<State> {
    return notification.refund === undefined
      ? this.applyToCharge(tx, notification)
      : this.applyToRefund(tx, notification, notification.refund);
  }

  private async applyToCharge(tx: Tx, notification: Notification): Promise<State> {
    const { account, answer, amount, currency } = notification;
    let charge = await findCharge(tx, account, notification.charge);
    if (!charge) return 'waiting';
    if (charge.amount !== amount || charge.currency !== currency) {
      return this.park(tx, notification, 'amount_mismatch');
    }
    const end = endOf(answer);
    if (!end) return 'applied'; // not an end: nothing to do
    if (charge.status === 'pending') {
      if (await this.engine.settleFromOutside(tx, account, this.charges.name, charge.id, end))
        return 'applied';
      charge = (await findCharge(tx, account, charge.id)) ?? charge;
    }
    if (answer.kind !== 'succeeded') return 'applied';
    if (charge.status === 'failed') {
      await parkIfFailed(tx, charge, answer.reference);
      this.log.error(`${charge.id} had failed, but ${answer.reference} succeeded: parked`);
      return 'parked';
    }
    return charge.processor_reference === answer.reference
      ? 'applied'
      : this.park(tx, notification, 'second_payment');
  }

  private async applyToRefund(
    tx: Tx,
    notification: Notification,
    refundId: string,
  ): Promise<State> {
    const refund = await findRefund(tx, notification.account, refundId);
    if (!refund) return 'waiting';
    if (refund.amount !== notification.amount || refund.currency !== notification.currency) {
      this.log.error(`${refundId}: the processor tells of another amount: parked`);
      return 'parked';
    }
    const end = refundEndOf(notification.answer);
    // A refund of ours has no record; the job that made it asks the processor itself.
    if (end && refund.status === 'pending' && refund.cause === null) {
      await this.engine.settleFromOutside(
        tx,
        notification.account,
        this.refunds.name,
        refundId,
        end,
      );
    }
    return 'applied';
  }

  /** Money that does not fit: for a person to look at, never applied, never dropped. */
  private async park(tx: Tx, notification: Notification, reason: string): Promise<State> {
    const { account, charge, answer, amount, currency } = notification;
    if (answer.kind === 'succeeded') {
      await parkPayment(tx, {
        account_id: account,
        charge_id: charge,
        processor_reference: answer.reference,
        amount,
        currency,
        reason,
      });
    }
    this.log.error(`${charge}: ${reason}: parked`);
    return 'parked';
  }
}
