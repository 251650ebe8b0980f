import type pg from 'pg';
import Stripe from 'stripe';
import type { Tx } from '../ledger.schema.js';
import { newId } from '../payment-intents.object.js';

/** Of Stripe's many types those that a payment or a refund here can cause (docs.stripe.com/api/events/types). */
export type EventType =
  | 'payment_intent.succeeded'
  | 'payment_intent.payment_failed'
  | 'payment_intent.requires_action'
  | 'payment_intent.canceled'
  | 'refund.created'
  | 'refund.updated'
  | 'refund.failed'
  | 'charge.refund.updated'
  | 'charge.updated'
  | 'charge.refunded';

export interface EventRow {
  id: string;
  type: EventType;
  body: string;
  created_at: Date;
  delivered_at: Date | null;
}

/** As Stripe does in live mode. */
const TRIED_FOR = "interval '3 days'";
/** As long as Stripe shows them. */
const KEPT_FOR = "interval '30 days'";
/** The pause after an attempt doubles from one second to this, in seconds. */
const LONGEST_PAUSE_SECONDS = 60;

/** Writes down what has happened, in the transaction in which it happens: there is never one without the other. */
export async function insertEvent(tx: Tx, type: EventType, object: object): Promise<void> {
  const event = {
    id: newId('evt_'),
    object: 'event',
    api_version: Stripe.API_VERSION,
    created: Math.floor(Date.now() / 1000),
    data: { object },
    livemode: false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type,
  };
  await tx.query(
    `INSERT INTO sandbox.events (id, type, body, give_up_at)
     VALUES ($1, $2, $3, clock_timestamp() + ${TRIED_FOR})`,
    [event.id, type, JSON.stringify(event)],
  );
}

/**
 * Takes what is due. The time of the next attempt is written before this one begins: a process that is killed in it
 * has only brought that forward, and any sandbox on this ledger goes on.
 * @param underWay ids whose attempt has not ended yet.
 */
export async function takeDue(
  pool: pg.Pool,
  { delayMs, shuffleMs }: { delayMs: number; shuffleMs: number },
  underWay: string[],
  limit: number,
): Promise<EventRow[]> {
  const { rows } = await pool.query<EventRow>(
    // A CTE is run once. As a subquery PostgreSQL may run it again for each row, and the limit would hold for each run.
    `WITH due AS (
       SELECT id FROM sandbox.events
       WHERE delivered_at IS NULL AND give_up_at > clock_timestamp() AND NOT id = ANY($3)
         AND COALESCE(next_attempt_at, created_at
           + ($1 + mod(abs(hashtextextended(id, 4242)), $2 + 1)) * interval '1 millisecond') <= clock_timestamp()
       ORDER BY COALESCE(next_attempt_at, created_at) LIMIT $4 FOR UPDATE SKIP LOCKED)
     UPDATE sandbox.events SET attempts = attempts + 1, next_attempt_at = clock_timestamp()
       + LEAST(power(2, LEAST(attempts, 10)), ${LONGEST_PAUSE_SECONDS}) * interval '1 second'
     WHERE id IN (SELECT id FROM due)
     RETURNING *`,
    [delayMs, shuffleMs, underWay, limit],
  );
  return rows;
}

export async function markDelivered(pool: pg.Pool, id: string): Promise<void> {
  await pool.query('UPDATE sandbox.events SET delivered_at = clock_timestamp() WHERE id = $1', [
    id,
  ]);
}

/** Makes an event due at once, as if nobody had ever taken it. */
export async function sendAgain(pool: pg.Pool, id: string): Promise<EventRow | undefined> {
  const { rows } = await pool.query<EventRow>(
    `UPDATE sandbox.events SET delivered_at = NULL, attempts = 0, next_attempt_at = clock_timestamp(),
       give_up_at = clock_timestamp() + ${TRIED_FOR}
     WHERE id = $1 RETURNING *`,
    [id],
  );
  return rows[0];
}

export async function pruneEvents(pool: pg.Pool): Promise<void> {
  await pool.query(`DELETE FROM sandbox.events WHERE created_at < now() - ${KEPT_FOR}`);
}

/** As Stripe shows it: `pending_webhooks` is 0 when it has been taken. */
export function eventObject({ body, delivered_at }: EventRow): object {
  return { ...(JSON.parse(body) as object), pending_webhooks: delivered_at ? 0 : 1 };
}
