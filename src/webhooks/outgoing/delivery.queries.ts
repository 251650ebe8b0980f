import type { Event } from '../../events/event.entity.js';
import { EVENT_COLUMNS } from '../../events/events.js';
import type { Queryable, Tx } from '../../database/database.js';
import type { Delivery } from './delivery.entity.js';
import type { Sent } from './sender.js';

/** Longer than an attempt takes, in ms. A sender that takes longer counts as dead. */
const LEASE_MS = 20_000;
/** How many secrets sign: each adds 48 bytes to a header, and receivers limit its length. */
const MAX_SECRETS = 10;

/** Inserts deliveries that are due immediately. Existing ones stay unchanged. */
export async function insertDeliveries(
  tx: Tx,
  event: Pick<Event, 'account_id' | 'id'>,
  deliveries: readonly Pick<Delivery, 'id' | 'endpoint_id'>[],
): Promise<void> {
  if (deliveries.length === 0) return;
  await tx.query(
    `INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status, next_attempt_at)
     SELECT $1, new.id, new.endpoint_id, $2, 'pending', now()
     FROM json_to_recordset($3) AS new (id text, endpoint_id text) ON CONFLICT DO NOTHING`,
    [event.account_id, event.id, JSON.stringify(deliveries)],
  );
}

/**
 * Due deliveries, oldest first, of all accounts. Takes no locks: each is claimed by compare-and-set.
 * @param full accounts and endpoints that use their whole share of the slots. Skipping them keeps others from waiting.
 */
export async function listDueDeliveries(
  db: Queryable,
  limit: number,
  full: readonly string[],
): Promise<Pick<Delivery, 'account_id' | 'id' | 'endpoint_id'>[]> {
  return db.query(
    `SELECT account_id, id, endpoint_id FROM webhook_deliveries
     WHERE status = 'pending' AND next_attempt_at <= now()
       AND account_id <> ALL($2) AND endpoint_id <> ALL($2)
     ORDER BY next_attempt_at LIMIT $1`,
    [limit, full],
  );
}

/** A pending delivery, with everything that an attempt needs. */
export interface OpenDelivery {
  endpoint_id: string;
  /** How many attempts have started. */
  attempts: number;
  /** Null when the endpoint was deleted or disabled. */
  url: string | null;
  /** The secrets valid now, newest first. */
  secrets: string[];
  event: Event;
}

/**
 * Each LATERAL with its LIMIT is found by its primary key. The plan of a plain join, made while the tables are empty,
 * reads all events and endpoints of the account. Proof: test/white-box/operation/first-plans.spec.ts.
 * @returns undefined if it has ended.
 */
export async function findOpenDelivery(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<OpenDelivery | undefined> {
  const [row] = await db.query<Event & Omit<OpenDelivery, 'event'>>(
    `SELECT event.*, delivery.endpoint_id, endpoint.url, delivery.attempts, ARRAY(
         SELECT secret FROM webhook_secrets
         WHERE account_id = delivery.account_id AND endpoint_id = delivery.endpoint_id
           AND (expires_at IS NULL OR expires_at > clock_timestamp())
         ORDER BY expires_at DESC NULLS FIRST LIMIT ${MAX_SECRETS}) AS secrets
     FROM webhook_deliveries AS delivery
     CROSS JOIN LATERAL (
       SELECT ${EVENT_COLUMNS} FROM events
       WHERE account_id = delivery.account_id AND id = delivery.event_id LIMIT 1) AS event
     LEFT JOIN LATERAL (
       SELECT url FROM webhook_endpoints
       WHERE account_id = delivery.account_id AND id = delivery.endpoint_id
         AND deleted_at IS NULL AND disabled_at IS NULL LIMIT 1) AS endpoint ON true
     WHERE delivery.account_id = $1 AND delivery.id = $2 AND delivery.status = 'pending'`,
    [accountId, id],
  );
  if (!row) return undefined;
  const { endpoint_id, attempts, url, secrets, ...event } = row;
  return { endpoint_id, attempts, url, secrets, event };
}

/**
 * Claims the due attempt by compare-and-set on its time: it is not due again until the lease expires. The attempt has a
 * row before it has any effect.
 *
 * It does not ask for the status: only a pending delivery has a next attempt (a CHECK). With both, the planner could take
 * the index of due deliveries, and read the whole backlog for each claim.
 * @returns the attempt's number; undefined if another process has claimed it.
 */
export async function beginAttempt(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<number | undefined> {
  const rows = await db.query<{ number: number }>(
    `WITH claimed AS (
       UPDATE webhook_deliveries
       SET attempts = attempts + 1, next_attempt_at = now() + $3 * interval '1 millisecond'
       WHERE account_id = $1 AND id = $2 AND next_attempt_at <= now()
       RETURNING account_id, id, attempts)
     INSERT INTO webhook_attempts (account_id, delivery_id, number)
     SELECT account_id, id, attempts FROM claimed RETURNING number`,
    [accountId, id, LEASE_MS],
  );
  return rows[0]?.number;
}

/** How an attempt ended, and the delivery's next status. */
export type AttemptEnd = Sent & {
  delivery: Delivery['status'];
  pauseMs: number | undefined;
};

/**
 * Records how an attempt ended. A success counts even if another attempt has started or the delivery has failed: the
 * receiver has the event.
 * @returns false if it did not succeed and the delivery's state belongs to another attempt.
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
     SET status = $6, next_attempt_at = now() + $7::float8 * interval '1 millisecond'
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
  return recorded.length > 0;
}

/** Undoes an attempt that we interrupted: the receiver did not fail, so it does not count. */
export async function cancelAttempt(
  db: Queryable,
  accountId: string,
  id: string,
  number: number,
): Promise<void> {
  await db.query(
    `WITH cancelled AS (
       UPDATE webhook_deliveries SET attempts = attempts - 1, next_attempt_at = now()
       WHERE account_id = $1 AND id = $2 AND attempts = $3 AND status = 'pending'
       RETURNING account_id, id)
     DELETE FROM webhook_attempts AS attempt USING cancelled
     WHERE attempt.account_id = cancelled.account_id AND attempt.delivery_id = cancelled.id AND attempt.number = $3`,
    [accountId, id, number],
  );
}

/** Fails a delivery without another attempt. Not while one is in flight: the receiver may accept it. */
export async function failDelivery(db: Queryable, accountId: string, id: string): Promise<void> {
  await db.query(
    `UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL
     WHERE account_id = $1 AND id = $2 AND next_attempt_at <= now()`,
    [accountId, id],
  );
}
