import type { Event } from '../../events/event.entity.js';
import { EVENT_COLUMNS } from '../../events/events.js';
import type { Queryable, Tx } from '../../database/database.js';
import type { Delivery } from './delivery.entity.js';
import type { Sent } from './sender.js';

/** Longer than an attempt takes, in ms. A sender that takes longer counts as dead. */
const LEASE_MS = 20_000;
/** How many secrets sign: each adds 48 bytes to a header, and receivers limit its length. */
const MAX_SECRETS = 10;
/** How many deliveries of full endpoints a poll reads past. Larger: it reads more. Smaller: it asks each endpoint more often. */
const MAX_BLOCKED = 100;
/** Deliveries that one statement fails. 300,000 at once took longer than a statement may. */
const MAX_FAILED = 1_000;

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
 *
 * The backlog of a full endpoint may be older than all that others wait for. Reading past it would take longer for each
 * delivery in it. So if the oldest are not enough, each endpoint is asked for its own. Not by `endpoint_id =`: then the
 * index of all due deliveries would have that order, too, and be read past the backlog.
 * @param full accounts and endpoints that use their whole share of the slots. Skipping them keeps others from waiting.
 */
export async function listDueDeliveries(
  db: Queryable,
  limit: number,
  full: readonly string[],
): Promise<Pick<Delivery, 'account_id' | 'id' | 'endpoint_id'>[]> {
  return db.query(
    `WITH oldest AS MATERIALIZED (
       SELECT account_id, id, endpoint_id, next_attempt_at FROM webhook_deliveries
       WHERE status = 'pending' AND next_attempt_at <= now()
       ORDER BY next_attempt_at LIMIT $1::int + ${MAX_BLOCKED}),
     open AS (SELECT * FROM oldest WHERE account_id <> ALL($2) AND endpoint_id <> ALL($2)),
     due AS (
       SELECT * FROM open
       UNION SELECT of_endpoint.* FROM webhook_endpoints AS endpoint CROSS JOIN LATERAL (
         SELECT account_id, id, endpoint_id, next_attempt_at FROM webhook_deliveries
         WHERE account_id = endpoint.account_id AND status = 'pending'
           AND endpoint_id >= endpoint.id AND (endpoint_id, next_attempt_at) <= (endpoint.id, now())
         ORDER BY endpoint_id, next_attempt_at LIMIT $1) AS of_endpoint
       WHERE endpoint.account_id <> ALL($2) AND endpoint.id <> ALL($2)
         AND (SELECT count(*) FROM oldest) = $1 + ${MAX_BLOCKED} AND (SELECT count(*) FROM open) < $1)
     SELECT account_id, id, endpoint_id FROM due ORDER BY next_attempt_at LIMIT $1`,
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

// A statement about one delivery does not ask for its status: only a pending one has a next attempt (a CHECK). With both,
// the planner could take an index of pending deliveries, and read a whole backlog for one of them.

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
     WHERE delivery.account_id = $1 AND delivery.id = $2 AND delivery.next_attempt_at IS NOT NULL`,
    [accountId, id],
  );
  if (!row) return undefined;
  const { endpoint_id, attempts, url, secrets, ...event } = row;
  return { endpoint_id, attempts, url, secrets, event };
}

/**
 * Claims the due attempt by compare-and-set on its time: it is not due again until the lease expires. The attempt has a
 * row before it has any effect.
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
       WHERE account_id = $1 AND id = $2 AND attempts = $3 AND next_attempt_at IS NOT NULL
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

/**
 * Fails deliveries of an endpoint that was deleted or disabled, without those in flight: the receiver may accept them.
 * The rest fails when it is due. One statement, so that it sees no delivery to a later endpoint with the same id.
 */
export async function failDeliveriesOf(
  db: Queryable,
  accountId: string,
  endpointId: string,
): Promise<void> {
  await db.query(
    `UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL
     WHERE account_id = $1 AND id = ANY(ARRAY(
       SELECT id FROM webhook_deliveries AS delivery
       WHERE account_id = $1 AND endpoint_id = $2 AND status = 'pending'
         AND (next_attempt_at <= now() OR NOT EXISTS (
           SELECT 1 FROM webhook_attempts AS attempt
           WHERE attempt.account_id = delivery.account_id AND attempt.delivery_id = delivery.id
             AND attempt.number = delivery.attempts AND attempt.response_status IS NULL AND attempt.error IS NULL))
         AND NOT EXISTS (
           SELECT 1 FROM webhook_endpoints
           WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL AND disabled_at IS NULL)
       LIMIT ${MAX_FAILED} FOR NO KEY UPDATE OF delivery SKIP LOCKED))`,
    [accountId, endpointId],
  );
}
