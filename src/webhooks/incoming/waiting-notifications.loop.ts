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

/** How often notifications that came before their charge are looked at, in ms. */
const INTERVAL_MS = 2_000;

/**
 * How long a notification waits for its charge, which may come back from a backup, and how long an applied one is
 * remembered. Stripe redelivers for three days by itself, and has an event for 30 days from its creation, for a person
 * or a script to send again (docs.stripe.com/webhooks/process-undelivered-events). A copy of an old delivery is refused
 * by the time in its signature. Shorter, and an event could come again as a new one; it would find its object ended.
 */
const KEPT = "interval '30 days'";

/** Whether what an event is about is there. */
const HAS_APPEARED = `CASE WHEN event.refund_id IS NULL
           THEN EXISTS (SELECT 1 FROM charges
             WHERE charges.account_id = event.account_id AND charges.id = event.charge_id)
           ELSE EXISTS (SELECT 1 FROM refunds
             WHERE refunds.account_id = event.account_id AND refunds.id = event.refund_id) END`;

/**
 * How many are looked at, or removed, in one round. More, and a round takes more than some tens of milliseconds; fewer,
 * and among a million that wait for nothing (of a copy of this database that shares the Stripe account) one that can be
 * applied is found later than in seven minutes.
 */
const BATCH = 5_000;

/** The oldest in that state, if they are too old. */
const isOld = (
  state: 'waiting' | 'applied',
) => `event.state = '${state}' AND (event.processor, event.id) IN (
  SELECT processor, id FROM processor_events
  WHERE state = '${state}' AND received_at < now() - ${KEPT} ORDER BY received_at, id LIMIT ${BATCH})`;

/** A place among those that wait, oldest first. The time is text: PostgreSQL has microseconds, JavaScript has not. */
interface Place {
  receivedAt: string;
  id: string;
}
const START: Place = { receivedAt: '-infinity', id: '' };
const END: Place = { receivedAt: 'infinity', id: '' };

/**
 * In the background process. Any number of them may run: each notification is locked while it is applied. Each round
 * does the same little work, however many wait. Proof: test/webhooks/incoming/order.spec.ts, test/white-box/operation/list-plans.spec.ts.
 */
@Injectable()
export class WaitingNotificationsLoop implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly log = new Logger(WaitingNotificationsLoop.name);
  private readonly loop = new Loop(WaitingNotificationsLoop.name, INTERVAL_MS, () => this.round());
  /** Where the next round goes on. Lost with the process: then it begins again. */
  private place = START;

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

  /** One round: applies what came before its object did, among the next that wait; forgets what is too old. */
  private async round(): Promise<void> {
    const end = await this.endOfRound();
    for (const fact of await this.listAppeared(this.place, end))
      await this.notifications.applyOne(fact);
    this.place = end === END ? START : end;
    await this.parkOld();
    await this.forgetOld();
  }

  private async endOfRound(): Promise<Place> {
    const { receivedAt, id } = this.place;
    const [last] = await this.db.query<Place>(
      `SELECT received_at::text AS "receivedAt", id FROM processor_events
       WHERE state = 'waiting' AND (received_at, id) > ($1::timestamptz, $2)
       ORDER BY received_at, id OFFSET ${BATCH - 1} LIMIT 1`,
      [receivedAt, id],
    );
    return last ?? END;
  }

  private async listAppeared(after: Place, end: Place): Promise<Notification[]> {
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
   * What is about something of ours and could not be applied is not forgotten: a person must look. Each in a transaction
   * of its own, because each is of some account; one that cannot be parked waits on, and stands in the way of no other.
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
        if (isConnectionLost(error)) throw error; // nothing else would go better now
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
        `${unmatched.length} are forgotten: what they are about has not appeared in 30 days`,
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
  const of = { account_id, charge_id: refund?.charge_id ?? charge_id };
  await parkPayment(tx, {
    ...of,
    processor_reference,
    amount,
    currency,
    reason: 'never_applied' satisfies Discrepancy,
  });
  return true;
}
