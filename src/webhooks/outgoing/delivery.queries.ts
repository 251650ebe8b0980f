import type { Event } from '../../events/event.entity.js';
import { EVENT_COLUMNS } from '../../events/events.js';
import type { Tx } from '../../platform/database.js';
import type { Delivery } from './delivery.entity.js';
import type { Sent } from './sender.js';

/** Longer than an attempt takes, in ms; a sender that is silent for longer is taken for dead. */
const LEASE_MS = 20_000;

/** @returns false if it was planned before. */
export async function insertDelivery(
  tx: Tx,
  delivery: Pick<Delivery, 'account_id' | 'id' | 'endpoint_id' | 'event_id'>,
): Promise<boolean> {
  const rows: unknown[] = await tx.query(
    `INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status)
     VALUES ($1, $2, $3, $4, 'pending') ON CONFLICT DO NOTHING RETURNING id`,
    [delivery.account_id, delivery.id, delivery.endpoint_id, delivery.event_id],
  );
  return rows.length > 0;
}

/** A delivery that has not ended, and all that an attempt needs. */
export interface OpenDelivery {
  endpoint_id: string;
  /** Whether the next attempt's time has not come; it has a job of its own. */
  early: boolean;
  /** Null when the endpoint was deleted or disabled. */
  url: string | null;
  /** Those that sign now, newest first. */
  secrets: string[];
  event: Event;
}

export async function findOpenDelivery(
  db: Tx,
  accountId: string,
  id: string,
): Promise<OpenDelivery | undefined> {
  const [row]: (Event & Omit<OpenDelivery, 'event'>)[] = await db.query(
    `SELECT event.*, delivery.endpoint_id, endpoint.url, COALESCE(delivery.next_attempt_at > now(), false) AS early, ARRAY(
         SELECT secret FROM webhook_secrets
         WHERE account_id = delivery.account_id AND endpoint_id = delivery.endpoint_id
           AND (expires_at IS NULL OR expires_at > clock_timestamp())
         ORDER BY created_at DESC) AS secrets
     FROM webhook_deliveries AS delivery
     JOIN (SELECT ${EVENT_COLUMNS} FROM events) AS event
       ON event.account_id = delivery.account_id AND event.id = delivery.event_id
     LEFT JOIN webhook_endpoints AS endpoint
       ON endpoint.account_id = delivery.account_id AND endpoint.id = delivery.endpoint_id
       AND endpoint.deleted_at IS NULL AND endpoint.disabled_at IS NULL
     WHERE delivery.account_id = $1 AND delivery.id = $2 AND delivery.status = 'pending'`,
    [accountId, id],
  );
  if (!row) return undefined;
  const { endpoint_id, early, url, secrets, ...event } = row;
  return { endpoint_id, early, url, secrets, event };
}

/**
 * The right to make the next attempt, by compare-and-set on the lease; the attempt has a row before it has any effect.
 * @returns the attempt's number.
 * @throws Error while somebody else is at it; the queue comes back.
 */
export async function beginAttempt(db: Tx, accountId: string, id: string): Promise<number> {
  const rows: { number: number }[] = await db.query(
    `WITH claimed AS (
       UPDATE webhook_deliveries
       SET attempts = attempts + 1, next_attempt_at = NULL, lease_expires_at = now() + $3 * interval '1 millisecond'
       WHERE account_id = $1 AND id = $2 AND status = 'pending'
         AND (lease_expires_at IS NULL OR lease_expires_at <= now())
         AND (next_attempt_at IS NULL OR next_attempt_at <= now())
       RETURNING account_id, id, attempts)
     INSERT INTO webhook_attempts (account_id, delivery_id, number)
     SELECT account_id, id, attempts FROM claimed RETURNING number`,
    [accountId, id, LEASE_MS],
  );
  if (!rows[0]) throw new Error(`${id} is being delivered by somebody else`);
  return rows[0].number;
}

/** How an attempt ended, and what that means for its delivery. */
export type AttemptEnd = Sent & {
  delivery: Delivery['status'];
  /** Until the next attempt, in ms. */
  pauseMs: number | undefined;
};

/**
 * Writes down how an attempt ended. A success counts whoever has taken over meanwhile: the receiver has it.
 * @returns false if it was no success and another attempt has taken over.
 */
export async function endAttempt(
  tx: Tx,
  accountId: string,
  id: string,
  number: number,
  end: AttemptEnd,
): Promise<boolean> {
  const [, recorded]: [unknown[], number] = await tx.query(
    `WITH attempt AS (
       UPDATE webhook_attempts SET response_status = $4, error = $5
       WHERE account_id = $1 AND delivery_id = $2 AND number = $3)
     UPDATE webhook_deliveries
     SET status = $6, lease_expires_at = NULL, next_attempt_at = now() + $7::float8 * interval '1 millisecond'
     WHERE account_id = $1 AND id = $2 AND status = 'pending' AND (attempts = $3 OR $6 = 'succeeded')`,
    [
      accountId,
      id,
      number,
      end.status ?? null,
      end.error ?? null,
      end.delivery,
      end.pauseMs ?? null,
    ],
  );
  if (recorded > 0) return true;
  const pending: unknown[] = await tx.query(
    `SELECT 1 FROM webhook_deliveries WHERE account_id = $1 AND id = $2 AND status = 'pending'`,
    [accountId, id],
  );
  return pending.length === 0;
}

/** Ends a delivery whose endpoint is gone, without another attempt. */
export async function giveUp(db: Tx, accountId: string, id: string): Promise<void> {
  await db.query(
    `UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL
     WHERE account_id = $1 AND id = $2 AND status = 'pending'`,
    [accountId, id],
  );
}
