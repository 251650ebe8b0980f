import { NEEDS_ATTENTION } from './attention.js';
import { SETTLE_MS } from './engine-options.js';
import type { Queryable, Tx } from './database.js';
import type { Answer, Intent } from './operation.js';

/** A request with a key, as the engine sees it. */
export interface KeyedRequest {
  accountId: string;
  key: string;
  operation: string;
  /** The derived id. */
  id: string;
  fingerprint: Buffer;
  members: Record<string, string>;
  requestId: string;
}

/** The right to run the later beats once. Whoever holds the newest epoch may settle, nobody else. */
export interface Claim extends Intent {
  key: string;
  operation: string;
  epoch: number;
  attempts: number;
  /** Whether an attempt before this one may have had an effect outside. */
  inDoubt: boolean;
  /** When the lease ends, by `performance.now()`, in ms. */
  leasedUntil: number;
  /** Whether the sweep holds it. Its attempts count as failures until they show otherwise (attention.ts). */
  bySweep: boolean;
}

/**
 * A row of `idempotency_records`.
 *
 * | state | moved on by | after a crash |
 * |---|---|---|
 * | (no row) | the reserving transaction | nothing happened |
 * | `in_progress`, leased | the holder of the epoch, until the lease ends | the lease runs out, anybody takes over |
 * | `in_progress`, free | a retry, a waiter or the sweep: claims the next epoch | stays free |
 * | `in_progress`, free, needs attention | a retry; a person, who gives it to the sweep again | stays so |
 * | `completed` | nobody; after `expires_at` it counts as absent | stays completed |
 */
export interface IdempotencyRecord {
  account_id: string;
  key: string;
  operation: string;
  resource_id: string;
  fingerprint: Buffer;
  members: Record<string, string>;
  request_id: string;
  state: 'in_progress' | 'completed';
  epoch: number;
  attempts: number;
  in_doubt: boolean;
  first_seen_at: Date;
  completed_at: Date | null;
  expires_at: Date | null;
  response_status: number | null;
  response_headers: Record<string, string> | null;
  response_body: string | null;
  /** By the database's clock, when it was read: expiry never waits for the reaper. */
  expired: boolean;
  /** Nobody holds the record, or the holder's time is over. */
  free: boolean;
  /** The sweep has stopped repeating it (attention.ts). */
  needs_attention: boolean;
  /** How often the sweep has failed at it, by a fault of our own. */
  failures: number;
  /** What is left of the lease, in ms; 0 if nobody holds the record. */
  lease_left_ms: number;
  /** The last holder went away without giving the lease back: what it did outside is not known. */
  abandoned: boolean;
}

/** How long the first attempts of the sweep lie apart; doubling. Shorter would hammer a service that is down. */
const FIRST_BACKOFF_MS = 1_000;
/** Longer would leave people waiting after the service has come back. */
const LONGEST_BACKOFF_MS = 60_000;

const COLUMNS = `account_id, key, operation, resource_id, fingerprint, members, request_id, state, epoch, attempts,
  in_doubt, first_seen_at, completed_at, expires_at, response_status, response_headers, response_body,
  COALESCE(expires_at <= clock_timestamp(), false) AS expired,
  state = 'in_progress' AND COALESCE(lease_expires_at <= clock_timestamp(), true) AS free,
  state = 'in_progress' AND COALESCE(lease_expires_at <= clock_timestamp(), false) AS abandoned,
  GREATEST(EXTRACT(EPOCH FROM lease_expires_at - clock_timestamp()) * 1000, 0)::float8 AS lease_left_ms,
  failures, ${NEEDS_ATTENTION} AS needs_attention`;

// Below, a record is named by its primary key, and `completed_at IS NULL` says that it is in progress (a CHECK holds
// the two together). `state = 'in_progress'` would say so, too, but then PostgreSQL takes the index of unfinished records
// for the shorter way, and walks over all that were completed since the last VACUUM. Proof: test/operation/plans.spec.ts.

/**
 * The race for the key: one INSERT wins, the others wait for its commit and then find its row.
 *
 * Without a conflict target: named one, the table's other unique constraint would be met as 23505 by an INSERT that
 * runs beside the winner's. Proof: test/idempotency/races.spec.ts.
 */
export async function insertRecord(
  tx: Tx,
  request: KeyedRequest,
  leaseMs: number,
): Promise<Claim | undefined> {
  const leasedUntil = performance.now() + leaseMs;
  const rows = await tx.query(
    `INSERT INTO idempotency_records (account_id, key, operation, resource_id, fingerprint, members, request_id,
       state, epoch, attempts, in_doubt, first_seen_at, lease_expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 'in_progress', 1, 1, false, clock_timestamp(),
       clock_timestamp() + $8 * interval '1 millisecond')
     ON CONFLICT DO NOTHING
     RETURNING epoch`,
    [
      request.accountId,
      request.key,
      request.operation,
      request.id,
      request.fingerprint,
      JSON.stringify(request.members),
      request.requestId,
      leaseMs,
    ],
  );
  if (rows.length === 0) return undefined;
  const { accountId, id, requestId, key, operation } = request;
  const first = { epoch: 1, attempts: 1, inDoubt: false, leasedUntil, bySweep: false };
  return { accountId, id, requestId, key, operation, ...first };
}

export async function findRecord(
  db: Queryable,
  accountId: string,
  key: string,
): Promise<IdempotencyRecord | undefined> {
  const rows = await db.query<IdempotencyRecord>(
    `SELECT ${COLUMNS} FROM idempotency_records WHERE account_id = $1 AND key = $2`,
    [accountId, key],
  );
  return rows[0];
}

/**
 * Makes way for a new intent. The epoch and the id keep a row that was replaced meanwhile from being hit; one that was
 * made anew under the same key has both of them again, but has not expired.
 */
export async function deleteExpired(tx: Tx, record: IdempotencyRecord): Promise<void> {
  await tx.query(
    `DELETE FROM idempotency_records
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND epoch = $4 AND completed_at IS NOT NULL
       AND expires_at <= clock_timestamp()`,
    [record.account_id, record.key, record.resource_id, record.epoch],
  );
}

/**
 * Takes a free record over, by compare-and-set on its epoch: of many, one gets it.
 * @param maxFailures given by the sweep: the attempt counts as a failure from here on. If its process dies, the next
 *   attempt comes after a pause, which also parts the record from others that the same death has hit.
 */
export async function claimRecord(
  db: Queryable,
  record: IdempotencyRecord,
  leaseMs: number,
  maxFailures?: number,
): Promise<Claim | undefined> {
  const inDoubt = record.in_doubt || record.abandoned;
  const bySweep = maxFailures !== undefined;
  const leasedUntil = performance.now() + leaseMs;
  const nextMs = bySweep ? leaseMs + backOffMs(record.failures + 1) : null;
  const rows = await db.query<{ epoch: number; attempts: number }>(
    `UPDATE idempotency_records
     SET epoch = epoch + 1, attempts = attempts + 1, in_doubt = $5,
       lease_expires_at = now() + $6 * interval '1 millisecond',
       next_attempt_at = now() + $7 * interval '1 millisecond',
       failures = failures + $8, needs_attention = needs_attention OR COALESCE(failures + $8 >= $9, false)
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND epoch = $4 AND completed_at IS NULL
     RETURNING epoch, attempts`,
    [
      record.account_id,
      record.key,
      record.resource_id,
      record.epoch,
      inDoubt,
      leaseMs,
      nextMs,
      bySweep ? 1 : 0,
      maxFailures ?? null, // NULL: a client's claim leaves needs_attention as it is
    ],
  );
  return rows[0] && { ...claimOf(record), ...rows[0], inDoubt, leasedUntil, bySweep };
}

/** Takes an unfinished record from whoever holds it: the row is locked and its epoch raised. */
export async function seizeRecord(
  tx: Tx,
  accountId: string,
  resourceId: string,
): Promise<Claim | undefined> {
  const rows = await tx.query<IdempotencyRecord>(
    `UPDATE idempotency_records SET epoch = epoch + 1
     WHERE account_id = $1 AND resource_id = $2 AND completed_at IS NULL
     RETURNING ${COLUMNS}`,
    [accountId, resourceId],
  );
  return rows[0] && claimOf(rows[0]);
}

/** The claim that a record stands for while it is held. */
export function claimOf(record: IdempotencyRecord): Claim {
  return {
    accountId: record.account_id,
    id: record.resource_id,
    requestId: record.request_id,
    key: record.key,
    operation: record.operation,
    epoch: record.epoch,
    attempts: record.attempts,
    inDoubt: record.in_doubt,
    leasedUntil: performance.now() + record.lease_left_ms,
    bySweep: false,
  };
}

/**
 * How long the holder may call outside, in whole ms, as timers want them. If half of that time has passed before the
 * calls begin (a lock was had late, the database was lost and is back, the process slept), the lease begins anew: the
 * client still waits, and an attempt without time would tell it nothing.
 * @returns undefined if the claim is lost.
 */
export async function timeForCalls(
  db: Queryable,
  claim: Claim,
  leaseMs: number,
): Promise<number | undefined> {
  const left = callsLeftMs(claim);
  return left >= (leaseMs - SETTLE_MS) / 2 ? left : extendLease(db, claim, leaseMs);
}

/**
 * Begins the lease anew. The sweep's next attempt moves along: if the holder dies, it still comes a pause after the lease.
 * @returns how long the holder may call outside, as `timeForCalls` has it; undefined if the claim is lost.
 */
export async function extendLease(
  db: Queryable,
  claim: Claim,
  leaseMs: number,
): Promise<number | undefined> {
  const leasedUntil = performance.now() + leaseMs;
  const renewed = await db.query(
    `UPDATE idempotency_records
     SET lease_expires_at = now() + $5 * interval '1 millisecond',
       next_attempt_at = next_attempt_at + (now() + $5 * interval '1 millisecond' - lease_expires_at)
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND epoch = $4 AND completed_at IS NULL
     RETURNING epoch`,
    [claim.accountId, claim.key, claim.id, claim.epoch, leaseMs],
  );
  if (renewed.length === 0) return undefined;
  claim.leasedUntil = leasedUntil;
  return callsLeftMs(claim);
}

function callsLeftMs({ leasedUntil }: Claim): number {
  return Math.max(0, Math.floor(leasedUntil - SETTLE_MS - performance.now()));
}

/** Locks the record for settling, or finds that the claim is lost. Locks are taken in one order: record, object, … */
export async function lockClaimed(tx: Tx, claim: Claim): Promise<boolean> {
  const rows = await tx.query(
    `SELECT 1 FROM idempotency_records
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND epoch = $4 AND completed_at IS NULL
     FOR UPDATE`,
    [claim.accountId, claim.key, claim.id, claim.epoch],
  );
  return rows.length === 1;
}

/**
 * Stores the answer. The time to live begins here, by the database's clock.
 * @returns when the answer expires.
 */
export async function completeRecord(
  tx: Tx,
  claim: Claim,
  answer: Answer,
  ttlSeconds: number,
): Promise<Date> {
  const rows = await tx.query<{ expires_at: Date }>(
    `UPDATE idempotency_records
     SET state = 'completed', completed_at = now(), expires_at = now() + $5 * interval '1 second',
       lease_expires_at = NULL, next_attempt_at = NULL,
       response_status = $6, response_headers = $7, response_body = $8
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND epoch = $4 AND completed_at IS NULL
     RETURNING expires_at`,
    [
      claim.accountId,
      claim.key,
      claim.id,
      claim.epoch,
      ttlSeconds,
      answer.status,
      JSON.stringify(answer.headers),
      answer.body,
    ],
  );
  if (!rows[0]) throw new Error('the record to complete is not held by this claim'); // rolls everything back
  return rows[0].expires_at;
}

/**
 * Gives the lease back without an outcome. The time of the next attempt binds the sweep only.
 * @param ourFault keeps the attempt in the count of failures.
 * @returns milliseconds until the sweep tries again, or undefined if the claim was lost.
 */
export async function releaseRecord(
  db: Queryable,
  claim: Claim,
  inDoubt: boolean,
  ourFault = false,
): Promise<number | undefined> {
  const waitMs = backOffMs(claim.attempts);
  const released = await db.query(
    `UPDATE idempotency_records
     SET lease_expires_at = NULL, in_doubt = $5, next_attempt_at = now() + $6 * interval '1 millisecond',
       failures = GREATEST(failures - $7, 0), needs_attention = needs_attention AND $7 = 0
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND epoch = $4 AND completed_at IS NULL
     RETURNING epoch`,
    [
      claim.accountId,
      claim.key,
      claim.id,
      claim.epoch,
      inDoubt,
      waitMs,
      claim.bySweep && !ourFault ? 1 : 0,
    ],
  );
  return released.length === 1 ? waitMs : undefined;
}

/**
 * Takes an attempt that lost its claim, and did not fail, out of the count of failures. Whatever the epoch: it is the
 * record's count, and the new holder has added an attempt of its own. Without this attempt the count was below its
 * limit, so that the record does not need attention either.
 */
export async function takeOutOfCount(db: Queryable, claim: Claim): Promise<void> {
  if (!claim.bySweep) return;
  await db.query(
    `UPDATE idempotency_records SET failures = GREATEST(failures - 1, 0), needs_attention = false
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND completed_at IS NULL`,
    [claim.accountId, claim.key, claim.id],
  );
}

/** The pause after that many attempts, in ms: doubling, with jitter. */
function backOffMs(attempts: number): number {
  const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(attempts - 1, 16), LONGEST_BACKOFF_MS);
  return Math.round(backoff * (0.75 + Math.random() / 2));
}

/**
 * Unfinished records whose time has come, oldest first; across accounts, so without locks.
 * @param operations those that this process can finish: what it cannot would stand in front of the rest for ever.
 */
export async function listRecoverable(
  db: Queryable,
  operations: string[],
  limit: number,
): Promise<IdempotencyRecord[]> {
  return db.query(
    `SELECT ${COLUMNS} FROM idempotency_records
     WHERE state = 'in_progress' AND NOT needs_attention AND operation = ANY($1)
       AND COALESCE(lease_expires_at <= clock_timestamp(), true)
       AND COALESCE(next_attempt_at <= clock_timestamp(), true)
     ORDER BY COALESCE(next_attempt_at, lease_expires_at, first_seen_at)
     LIMIT $2`,
    [operations, limit],
  );
}

/**
 * Deletes expired records, oldest first. Candidates are listed across accounts without locks, then each account's
 * are deleted by compare-and-set on their epochs.
 * @returns how many candidates there were.
 */
export async function deleteExpiredBatch(db: Queryable, limit: number): Promise<number> {
  const candidates = await db.query<{
    account_id: string;
    keys: string[];
    epochs: number[];
    count: number;
  }>(
    `SELECT account_id, array_agg(key) AS keys, array_agg(epoch) AS epochs, count(*)::int AS count
       FROM (
         SELECT account_id, key, epoch FROM idempotency_records
         WHERE state = 'completed' AND expires_at <= clock_timestamp()
         ORDER BY expires_at LIMIT $1
       ) AS expired
       GROUP BY account_id`,
    [limit],
  );
  for (const { account_id, keys, epochs } of candidates) {
    await db.query(
      `DELETE FROM idempotency_records
       WHERE account_id = $1 AND state = 'completed' AND expires_at <= now()
         AND (key, epoch) IN (SELECT * FROM unnest($2::text[], $3::integer[]))`,
      [account_id, keys, epochs],
    );
  }
  return candidates.reduce((sum, { count }) => sum + count, 0);
}
