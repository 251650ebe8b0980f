import type pg from 'pg';
import Stripe from 'stripe';
import type { Tx } from '../ledger.schema.js';
import { newId } from '../payment-intents.object.js';

/** The event types that a payment or a refund here can cause (docs.stripe.com/api/events/types). */
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

/** How long delivery is retried: as long as in Stripe's live mode. */
const RETRY_PERIOD = "interval '3 days'";
/** How long events are kept: as long as at Stripe. */
const RETENTION = "interval '30 days'";
/** The pause after an attempt doubles, from one second up to this, in seconds. */
const MAX_PAUSE_SECONDS = 60;

/** Records an event in the transaction that causes it, so neither exists without the other. */
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
     VALUES ($1, $2, $3, clock_timestamp() + ${RETRY_PERIOD})`,
    [event.id, type, JSON.stringify(event)],
  );
}

/**
 * Takes the due events. It writes the time of the next attempt before the attempt begins. So if the process is
 * killed, any sandbox on this ledger continues.
 * @param inFlight ids whose attempt has not ended.
 */
export async function takeDue(
  pool: pg.Pool,
  { delayMs, shuffleMs }: { delayMs: number; shuffleMs: number },
  inFlight: string[],
  limit: number,
): Promise<EventRow[]> {
  const { rows } = await pool.query<EventRow>(
    // A CTE runs once. PostgreSQL may run a subquery again for each row, and the limit would then apply to each run.
    `WITH due AS (
       SELECT id FROM sandbox.events
       WHERE delivered_at IS NULL AND give_up_at > clock_timestamp() AND NOT id = ANY($3)
         AND COALESCE(next_attempt_at, created_at
           + ($1 + mod(abs(hashtextextended(id, 4242)), $2 + 1)) * interval '1 millisecond') <= clock_timestamp()
       ORDER BY COALESCE(next_attempt_at, created_at) LIMIT $4 FOR UPDATE SKIP LOCKED)
     UPDATE sandbox.events SET attempts = attempts + 1, next_attempt_at = clock_timestamp()
       + LEAST(power(2, LEAST(attempts, 10)), ${MAX_PAUSE_SECONDS}) * interval '1 second'
     WHERE id IN (SELECT id FROM due)
     RETURNING *`,
    [delayMs, shuffleMs, inFlight, limit],
  );
  return rows;
}

export async function markDelivered(pool: pg.Pool, id: string): Promise<void> {
  await pool.query('UPDATE sandbox.events SET delivered_at = clock_timestamp() WHERE id = $1', [
    id,
  ]);
}

/** Makes an event due immediately, as if it had never been delivered. */
export async function sendAgain(pool: pg.Pool, id: string): Promise<EventRow | undefined> {
  const { rows } = await pool.query<EventRow>(
    `UPDATE sandbox.events SET delivered_at = NULL, attempts = 0, next_attempt_at = clock_timestamp(),
       give_up_at = clock_timestamp() + ${RETRY_PERIOD}
     WHERE id = $1 RETURNING *`,
    [id],
  );
  return rows[0];
}

export async function pruneEvents(pool: pg.Pool): Promise<void> {
  await pool.query(`DELETE FROM sandbox.events WHERE created_at < now() - ${RETENTION}`);
}

/** The event as Stripe shows it: `pending_webhooks` is 0 after delivery. */
export function eventObject({ body, delivered_at }: EventRow): object {
  return { ...(JSON.parse(body) as object), pending_webhooks: delivered_at ? 0 : 1 };
}
