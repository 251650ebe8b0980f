import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { parkPayment, type Discrepancy } from '../../charges/parked-payments.js';
import { isConnectionLost } from '../../idempotency/errors.js';
import { Loop } from '../../idempotency/loop.js';
import { Database, type Tx } from '../../database/database.js';
import { Processor, type Notification } from '../../processor/processor.js';
import { findRefund } from '../../refunds/refund.queries.js';
import { ProcessorNotifications } from './processor-notifications.js';

/** How often notifications that arrived before their object are tried, in ms. */
const INTERVAL_MS = 2_000;

/**
 * How long a notification waits for its charge (which a restore may bring back), and how long an applied one is kept to
 * recognise duplicates. Stripe redelivers for three days; an operator or script can resend an event for 30 days
 * (docs.stripe.com/webhooks/process-undelivered-events). The signature's time rejects copies of old deliveries. With a
 * shorter time, an old event could count as new; its object would have ended already.
 */
const KEPT = "interval '30 days'";

const HAS_APPEARED = `CASE WHEN event.refund_id IS NULL
           THEN EXISTS (SELECT 1 FROM charges
             WHERE charges.account_id = event.account_id AND charges.id = event.charge_id)
           ELSE EXISTS (SELECT 1 FROM refunds
             WHERE refunds.account_id = event.account_id AND refunds.id = event.refund_id) END`;

/**
 * How many rows a round reads or removes. Larger: a round takes longer than some tens of milliseconds. Smaller: among a
 * million unmatched ones (of a database copy that shares the Stripe account) one that can be applied is found later
 * than after seven minutes.
 */
const BATCH = 5_000;

/** The oldest notifications in a state that are older than `KEPT`. */
const isOld = (
  state: 'waiting' | 'applied',
) => `event.state = '${state}' AND (event.processor, event.id) IN (
  SELECT processor, id FROM processor_events
  WHERE state = '${state}' AND received_at < now() - ${KEPT} ORDER BY received_at, id LIMIT ${BATCH})`;

/** A position in the waiting notifications, oldest first. The time is text: JavaScript's Date has no microseconds. */
interface Cursor {
  receivedAt: string;
  id: string;
}
const START: Cursor = { receivedAt: '-infinity', id: '' };
const END: Cursor = { receivedAt: 'infinity', id: '' };

/**
 * Applies notifications that arrived before their object. Any number of workers may run it: each notification is locked
 * while it is applied. The work of a round is small, and does not grow with the number of waiting notifications. Proof:
 * test/webhooks/incoming/order.spec.ts, retention.spec.ts, test/white-box/operation/list-plans.spec.ts.
 */
@Injectable()
export class WaitingNotificationsLoop implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly log = new Logger(WaitingNotificationsLoop.name);
  private readonly loop = new Loop(WaitingNotificationsLoop.name, INTERVAL_MS, () => this.round());
  /** Where the next round starts. After a restart: from the beginning. */
  private cursor = START;

  constructor(
    private readonly db: Database,
    private readonly processor: Processor,
    private readonly notifications: ProcessorNotifications,
  ) {}

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
  }

  /** Applies the next waiting notifications whose object exists, then parks or removes those that are too old. */
  private async round(): Promise<void> {
    const end = await this.endOfRound();
    for (const fact of await this.listAppeared(this.cursor, end))
      await this.notifications.applyOne(fact);
    this.cursor = end === END ? START : end;
    await this.parkOld();
    await this.forgetOld();
  }

  private async endOfRound(): Promise<Cursor> {
    const { receivedAt, id } = this.cursor;
    const [last] = await this.db.query<Cursor>(
      `SELECT received_at::text AS "receivedAt", id FROM processor_events
       WHERE state = 'waiting' AND (received_at, id) > ($1::timestamptz, $2)
       ORDER BY received_at, id OFFSET ${BATCH - 1} LIMIT 1`,
      [receivedAt, id],
    );
    return last ?? END;
  }

  private async listAppeared(after: Cursor, end: Cursor): Promise<Notification[]> {
    const rows = await this.db.query<{ fact: Notification }>(
      `SELECT event.fact FROM processor_events AS event
       WHERE event.state = 'waiting' AND event.processor = $1
         AND (event.received_at, event.id) > ($2::timestamptz, $3)
         AND (event.received_at, event.id) <= ($4::timestamptz, $5)
         AND ${HAS_APPEARED}
       ORDER BY event.received_at, event.id`,
      [this.processor.name, after.receivedAt, after.id, end.receivedAt, end.id],
    );
    return rows.map(({ fact }) => fact);
  }

  /**
   * Parks old notifications whose object exists, for an operator. Each in its own transaction, because a transaction
   * touches one account. One that cannot be parked stays waiting and does not block the others.
   */
  private async parkOld(): Promise<void> {
    const old = await this.db.query<OldNotification>(
      `SELECT processor, id, account_id, charge_id, refund_id, fact FROM processor_events AS event
       WHERE ${isOld('waiting')} AND ${HAS_APPEARED}`,
    );
    for (const event of old) {
      const name = `${event.id} of ${event.refund_id ?? event.charge_id}`;
      try {
        if (await this.db.transaction((tx) => park(tx, event)))
          this.log.error(`${name} could not be applied in 30 days: parked, a person must look`);
      } catch (error) {
        if (isConnectionLost(error)) throw error; // the others would also fail
        this.log.error(`${name} could not be applied in 30 days, and cannot be parked`, error);
      }
    }
  }

  private async forgetOld(): Promise<void> {
    const unmatched = await this.db.query(
      `DELETE FROM processor_events AS event WHERE ${isOld('waiting')} AND NOT ${HAS_APPEARED}
       RETURNING event.id`,
    );
    if (unmatched.length > 0)
      this.log.warn(
        `${unmatched.length} notifications are removed: their objects did not appear in 30 days`,
      );
    await this.db.query(`DELETE FROM processor_events AS event WHERE ${isOld('applied')}`);
  }
}

interface OldNotification {
  processor: string;
  id: string;
  account_id: string;
  charge_id: string;
  refund_id: string | null;
  fact: Notification;
}

/** @returns false if another process was faster. */
async function park(tx: Tx, event: OldNotification): Promise<boolean> {
  const { processor, id, account_id, charge_id, refund_id, fact } = event;
  const parked = await tx.query(
    `UPDATE processor_events SET state = 'parked'
     WHERE processor = $1 AND id = $2 AND account_id = $3 AND state = 'waiting'
     RETURNING id`,
    [processor, id, account_id],
  );
  if (parked.length === 0) return false;
  const refund = refund_id === null ? undefined : await findRefund(tx, account_id, refund_id);
  const { reference: processor_reference, amount, currency } = fact;
  await parkPayment(tx, {
    account_id,
    processor_reference,
    charge_id: refund?.charge_id ?? charge_id,
    amount,
    currency,
    reason: 'never_applied' satisfies Discrepancy,
  });
  return true;
}
