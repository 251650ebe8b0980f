import type { Event } from '../../events/event.entity.js';
import { EVENT_COLUMNS } from '../../events/events.js';
import { PutOff } from '../../jobs/jobs.js';
import type { Database, Queryable, Tx } from '../../platform/database.js';
import type { Delivery } from './delivery.entity.js';
import type { Sent } from './sender.js';

/** Longer than an attempt takes, in ms; a sender that is silent for longer is taken for dead. */
const LEASE_MS = 20_000;

/** @returns false if it was planned before. */
export async function insertDelivery(
  tx: Tx,
  delivery: Pick<Delivery, 'account_id' | 'id' | 'endpoint_id' | 'event_id'>,
): Promise<boolean> {
  const rows = await tx.query(
    `INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status)
     VALUES ($1, $2, $3, $4, 'pending') ON CONFLICT DO NOTHING RETURNING id`,
    [delivery.account_id, delivery.id, delivery.endpoint_id, delivery.event_id],
  );
  return rows.length > 0;
}

/** A delivery that has not ended, and all that an attempt needs. */
export interface OpenDelivery {
  endpoint_id: string;
  /** How many attempts were begun. */
  attempts: number;
  /** Whether the last attempt has ended and the next one has its time. */
  is_planned: boolean;
  /** Until that time, in ms; 0 if it has come. */
  early_ms: number;
  /** Null when the endpoint was deleted or disabled. */
  url: string | null;
  /** Those that sign now, newest first. */
  secrets: string[];
  event: Event;
}

/**
 * @returns undefined if it has ended.
 * @throws Error if there is none: a job about it is not done.
 */
export async function findOpenDelivery(
  db: Database,
  accountId: string,
  id: string,
): Promise<OpenDelivery | undefined> {
  const [row] = await db.query<Event & Omit<OpenDelivery, 'event'> & Pick<Delivery, 'status'>>(
    `SELECT event.*, delivery.status, delivery.endpoint_id, endpoint.url, delivery.attempts,
       delivery.next_attempt_at IS NOT NULL AS is_planned,
       GREATEST(COALESCE(EXTRACT(EPOCH FROM delivery.next_attempt_at - now()) * 1000, 0), 0)::float8 AS early_ms, ARRAY(
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
     WHERE delivery.account_id = $1 AND delivery.id = $2`,
    [accountId, id],
  );
  if (!row) throw new Error(`${id} has a job but no row`);
  const { status, endpoint_id, attempts, is_planned, early_ms, url, secrets, ...event } = row;
  if (status !== 'pending') return undefined;
  return { endpoint_id, attempts, is_planned, early_ms, url, secrets, event };
}

/**
 * The right to make the next attempt, by compare-and-set on the lease; the attempt has a row before it has any effect.
 * @returns the attempt's number.
 * @throws PutOff while somebody else is at it.
 */
export async function beginAttempt(db: Database, accountId: string, id: string): Promise<number> {
  const rows = await db.query<{ number: number }>(
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
  if (!rows[0]) throw new PutOff(`${id} is being delivered by somebody else`, LEASE_MS / 4);
  return rows[0].number;
}

/** How an attempt ended, and what that means for its delivery. */
export type AttemptEnd = Sent & {
  delivery: Delivery['status'];
  /** Until the next attempt, in ms. */
  pauseMs: number | undefined;
};

/**
 * Writes down how an attempt ended. A success counts whoever has taken over or given up meanwhile: the receiver has it.
 * @returns false if it was no success and another attempt has taken over.
 */
export async function endAttempt(
  db: Queryable,
  accountId: string,
  id: string,
  number: number,
  end: AttemptEnd,
): Promise<boolean> {
  const recorded = await db.query(
    `WITH attempt AS (
       UPDATE webhook_attempts SET response_status = $4, error = $5
       WHERE account_id = $1 AND delivery_id = $2 AND number = $3)
     UPDATE webhook_deliveries
     SET status = $6, lease_expires_at = NULL, next_attempt_at = now() + $7::float8 * interval '1 millisecond'
     WHERE account_id = $1 AND id = $2
       AND (status = 'pending' AND attempts = $3 OR status <> 'succeeded' AND $6 = 'succeeded')
     RETURNING id`,
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
  if (recorded.length > 0) return true;
  const pending = await db.query(
    `SELECT 1 FROM webhook_deliveries WHERE account_id = $1 AND id = $2 AND status = 'pending'`,
    [accountId, id],
  );
  return pending.length === 0;
}

/** Takes back an attempt that was cut short by us: the receiver has not failed, and the schedule does not move. */
export async function cancelAttempt(
  db: Database,
  accountId: string,
  id: string,
  number: number,
): Promise<void> {
  await db.query(
    `WITH cancelled AS (
       UPDATE webhook_deliveries SET attempts = attempts - 1, lease_expires_at = NULL
       WHERE account_id = $1 AND id = $2 AND attempts = $3 AND status = 'pending'
       RETURNING account_id, id)
     DELETE FROM webhook_attempts AS attempt USING cancelled
     WHERE attempt.account_id = cancelled.account_id AND attempt.delivery_id = cancelled.id AND attempt.number = $3`,
    [accountId, id, number],
  );
}

/** Ends a delivery whose endpoint is gone, without another attempt. */
export async function giveUp(db: Database, accountId: string, id: string): Promise<void> {
  await db.query(
    `UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL
     WHERE account_id = $1 AND id = $2 AND status = 'pending'`,
    [accountId, id],
  );
}
