import { Injectable, Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { ChargeOperation } from '../../charges/charge.operation.js';
import { findCharge } from '../../charges/charge.queries.js';
import { misfitOf, parkPayment, type Misfit } from '../../charges/parked-payments.js';
import { endOf } from '../../charges/settle-charge.js';
import { IdempotencyEngine } from '../../idempotency/engine.js';
import { isConnectionLost } from '../../idempotency/errors.js';
import type { Tx } from '../../platform/database.js';
import { Processor, type Notification } from '../../processor/processor.js';
import { settleOwedRefund } from '../../refunds/compensation.js';
import { refundMisfitOf } from '../../refunds/parked-refunds.js';
import { RefundOperation } from '../../refunds/refund.operation.js';
import { findRefund } from '../../refunds/refund.queries.js';
import { refundEndOf } from '../../refunds/settle-refund.js';

/**
 * | state | means | moved on by |
 * |---|---|---|
 * | `waiting` | what it is about is not there yet | the background process, or its 30 days: then it is removed |
 * | `applied` | the object has ended, by this or by somebody who was faster | nobody |
 * | `parked` | it contradicts our books, or could not be applied for 30 days: a row of `parked_payments` says how | nobody |
 */
type State = 'applied' | 'waiting' | 'parked';

/** How long a notification waits for its charge, which may come back from a backup or another instance. */
const KEPT = "interval '30 days'";

/** Whether what an event is about is there. */
const HAS_APPEARED = `CASE WHEN event.refund_id IS NULL
           THEN EXISTS (SELECT 1 FROM charges
             WHERE charges.account_id = event.account_id AND charges.id = event.charge_id)
           ELSE EXISTS (SELECT 1 FROM refunds
             WHERE refunds.account_id = event.account_id AND refunds.id = event.refund_id) END`;

/** How many are read at once. */
const BATCH = 100;

/**
 * What the processor tells us by itself: at least once, late, in any order, also before our own commit. Each event id
 * is applied once, in the transaction of its effect. It settles what is still pending exactly as the holder of the
 * lease would; whoever is second finds it done. Proof: test/webhooks/incoming/.
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
      // The same id, not committed yet, is waited for: it is applied here if its transaction is undone.
      const inserted: unknown[] = await tx.query(
        `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact)
         VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7)
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
      if (inserted.length > 0) await this.applyAndRecord(tx, notification);
      // Dies here: nothing was written, and the processor, which heard no 2xx, sends it again.
    });
    // Dies here: it is applied; the next delivery of the id finds that.
  }

  /** Applies what came before its object did; forgets what nobody came for. */
  async applyWaiting(): Promise<void> {
    const tried: string[] = []; // one that cannot be applied stands in the way of no other
    for (;;) {
      const batch = await this.listAppeared(tried);
      for (const fact of batch) {
        tried.push(fact.id);
        await this.applyOne(fact);
      }
      if (batch.length < BATCH) break;
    }
    await this.parkOld();
    await this.forgetOld();
  }

  private async listAppeared(except: string[]): Promise<Notification[]> {
    const rows: { fact: Notification }[] = await this.dataSource.query(
      `SELECT event.fact FROM processor_events AS event
       WHERE event.state = 'waiting' AND event.processor = $1 AND NOT event.id = ANY($2)
         AND ${HAS_APPEARED}
       ORDER BY event.received_at LIMIT ${BATCH}`,
      [this.processor.name, except],
    );
    return rows.map(({ fact }) => fact);
  }

  private async applyOne(fact: Notification): Promise<void> {
    try {
      await this.dataSource.transaction(async (tx) => {
        const locked: unknown[] = await tx.query(
          `SELECT 1 FROM processor_events WHERE processor = $1 AND id = $2 AND state = 'waiting' FOR UPDATE`,
          [this.processor.name, fact.id],
        );
        if (locked.length > 0) await this.applyAndRecord(tx, fact);
      });
    } catch (error) {
      if (isConnectionLost(error)) throw error; // nothing else would go better now
      this.log.error(`${fact.id} cannot be applied to ${fact.charge}`, error);
    }
  }

  /** What is about something of ours and could not be applied is not forgotten: a person must look. */
  private async parkOld(): Promise<void> {
    const parked: { id: string; charge_id: string }[] = await this.dataSource.query(
      `WITH parked AS (
         UPDATE processor_events AS event SET state = 'parked'
         WHERE event.state = 'waiting' AND event.received_at < now() - ${KEPT} AND ${HAS_APPEARED}
         RETURNING event.*),
       payments AS (
         INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason)
         SELECT parked.account_id, fact ->> 'reference', COALESCE(refunds.charge_id, parked.charge_id),
           (fact ->> 'amount')::bigint, fact ->> 'currency', 'never_applied'
         FROM parked LEFT JOIN refunds
           ON refunds.account_id = parked.account_id AND refunds.id = parked.refund_id
         ON CONFLICT DO NOTHING)
       SELECT id, charge_id FROM parked`,
    );
    for (const { id, charge_id } of parked)
      this.log.error(
        `${id} of ${charge_id} could not be applied in 30 days: parked, a person must look`,
      );
  }

  private async forgetOld(): Promise<void> {
    const [forgotten]: [{ id: string; charge_id: string }[], number] = await this.dataSource.query(
      `DELETE FROM processor_events AS event
       WHERE event.state = 'waiting' AND event.received_at < now() - ${KEPT} AND NOT ${HAS_APPEARED}
       RETURNING event.id, event.charge_id`,
    );
    for (const { id, charge_id } of forgotten)
      this.log.warn(`${id} is forgotten: ${charge_id} has not appeared within 30 days`);
  }

  private async applyAndRecord(tx: Tx, notification: Notification): Promise<void> {
    const state =
      notification.refund === undefined
        ? await this.applyToCharge(tx, notification)
        : await this.applyToRefund(tx, notification, notification.refund);
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
    const misfit = this.misfitOfTerms(charge, notification);
    if (misfit) return this.park(tx, notification, misfit);
    const end = endOf(answer);
    if (!end) throw new Error(`${notification.id} tells no end`);
    if (charge.status === 'pending') {
      if (await this.engine.settleFromOutside(tx, account, this.charges.name, id, end))
        return 'applied';
      charge = await findCharge(tx, account, id); // somebody was faster
      if (charge?.status === 'pending') throw new Error(`${id} is pending, but nobody works on it`);
    }
    if (!charge || end.status !== 'succeeded') return 'applied'; // nothing was taken, or not by this attempt
    const contradiction = misfitOf(charge, end.reference);
    return contradiction ? this.park(tx, notification, contradiction) : 'applied';
  }

  private async applyToRefund(tx: Tx, notification: Notification, id: string): Promise<State> {
    const { account, answer } = notification;
    let refund = await findRefund(tx, account, id);
    if (!refund) return 'waiting';
    const of = { ...notification, charge: refund.charge_id }; // ours decides which charge it is about
    const misfit = this.misfitOfTerms(refund, notification);
    if (misfit) return this.park(tx, of, misfit);
    const end = refundEndOf(answer);
    if (!end) throw new Error(`${notification.id} tells no end`);
    if (refund.status === 'pending') {
      const settled =
        refund.cause === null
          ? await this.engine.settleFromOutside(tx, account, this.refunds.name, id, end)
          : await settleOwedRefund(tx, refund.charge_id, end, { accountId: account, id });
      if (settled) return 'applied';
      refund = await findRefund(tx, account, id); // somebody was faster
      if (refund?.status === 'pending') throw new Error(`${id} is pending, but nobody works on it`);
    }
    const contradiction = refund && refundMisfitOf(refund, end);
    return contradiction ? this.park(tx, of, contradiction) : 'applied';
  }

  private misfitOfTerms(
    ours: { processor: string; amount: number; currency: string },
    { amount, currency }: Notification,
  ): Misfit | undefined {
    if (ours.processor !== this.processor.name) return 'another_processor';
    return ours.amount === amount && ours.currency === currency ? undefined : 'amount_mismatch';
  }

  /** What does not fit: for a person to look at, never applied, never dropped. */
  private async park(tx: Tx, notification: Notification, reason: Misfit): Promise<State> {
    const { account, charge, reference, amount, currency } = notification;
    const line = await parkPayment(tx, {
      account_id: account,
      charge_id: charge,
      processor_reference: reference,
      amount,
      currency,
      reason,
    });
    if (line) this.log.error(line);
    return 'parked';
  }
}
