import { NEEDS_ATTENTION } from './attention.js';
import type { Queryable, Tx } from './database.js';
import { IdempotencyKeyReused } from './errors.js';
import { mismatchedMembers } from './identity.js';
import type { Answer, Intent, Write } from './operation.js';

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

/** An answer and where it came from. */
export interface Result {
  answer: Answer;
  expiresAt: Date;
  /** True unless this very request made the answer. */
  replayed: boolean;
  /** Of the request that reserved. */
  originalRequestId: string;
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

export const RECORD_COLUMNS = `account_id, key, operation, resource_id, fingerprint, members, request_id, state, epoch, attempts,
  in_doubt, first_seen_at, completed_at, expires_at, response_status, response_headers, response_body,
  COALESCE(expires_at <= clock_timestamp(), false) AS expired,
  state = 'in_progress' AND COALESCE(lease_expires_at <= clock_timestamp(), true) AS free,
  state = 'in_progress' AND COALESCE(lease_expires_at <= clock_timestamp(), false) AS abandoned,
  GREATEST(EXTRACT(EPOCH FROM lease_expires_at - clock_timestamp()) * 1000, 0)::float8 AS lease_left_ms,
  failures, ${NEEDS_ATTENTION} AS needs_attention`;

// Below, a record is named by its primary key, and `completed_at IS NULL` says that it is in progress (a CHECK holds
// the two together). `state = 'in_progress'` would say so, too, but then PostgreSQL takes the index of unfinished records
// for the shorter way, and walks over all that were completed since the last VACUUM. Proof: test/operation/plans.spec.ts.

/** No object: a transaction writes it with statements of its own. */
const NO_WRITE: Write = { sql: 'object AS (SELECT FROM record)', values: [] };

/**
 * The race for the key, in one statement: it inserts the record with its object, or it returns the record that is there.
 * Of many at once one inserts; the others wait for its commit.
 *
 * `ON CONFLICT` has no target: with one, a conflict with the table's other unique constraint would be error 23505 for
 * an INSERT that runs beside the winner's. Proof: test/idempotency/races.spec.ts.
 *
 * @returns `claim` if this statement has inserted the record; undefined if another request has inserted it since this
 *   statement began: the next look finds it.
 * @throws 23505 if the object is there, but no record: nothing was written.
 */
export async function insertOrFindRecord(
  db: Queryable,
  request: KeyedRequest,
  leaseMs: number,
  { sql, values }: Write = NO_WRITE,
): Promise<{ record: IdempotencyRecord; claim?: Claim } | undefined> {
  const leasedUntil = performance.now() + leaseMs;
  const $ = (position: number) => `$${values.length + position}`;
  const rows = await db.query<IdempotencyRecord & { is_new: boolean }>(
    `WITH record AS (
       INSERT INTO idempotency_records (account_id, key, operation, resource_id, fingerprint, members, request_id,
         state, epoch, attempts, in_doubt, first_seen_at, lease_expires_at)
       VALUES (${$(1)}, ${$(2)}, ${$(3)}, ${$(4)}, ${$(5)}, ${$(6)}, ${$(7)}, 'in_progress', 1, 1, false,
         clock_timestamp(), clock_timestamp() + ${$(8)} * interval '1 millisecond')
       ON CONFLICT DO NOTHING RETURNING ${RECORD_COLUMNS}
     ), ${sql}
     SELECT *, true AS is_new FROM record
     UNION ALL -- sees what was committed before this statement, so never the row above
     SELECT ${RECORD_COLUMNS}, false FROM idempotency_records WHERE account_id = ${$(1)} AND key = ${$(2)}`,
    [
      ...values,
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
  const record = rows[0];
  if (!record) return undefined;
  return record.is_new ? { record, claim: { ...claimOf(record), leasedUntil } } : { record };
}

export async function findRecord(
  db: Queryable,
  accountId: string,
  key: string,
): Promise<IdempotencyRecord | undefined> {
  const rows = await db.query<IdempotencyRecord>(
    `SELECT ${RECORD_COLUMNS} FROM idempotency_records WHERE account_id = $1 AND key = $2`,
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

/** Takes an unfinished record over, also from a live holder: locks the row and increments its epoch. */
export async function seizeRecord(
  tx: Tx,
  accountId: string,
  resourceId: string,
): Promise<Claim | undefined> {
  const rows = await tx.query<IdempotencyRecord>(
    `UPDATE idempotency_records SET epoch = epoch + 1
     WHERE account_id = $1 AND resource_id = $2 AND completed_at IS NULL
     RETURNING ${RECORD_COLUMNS}`,
    [accountId, resourceId],
  );
  return rows[0] && claimOf(rows[0]);
}

/** @throws IdempotencyKeyReused if the record is of another intent than the request. */
export function refuseAnotherIntent(record: IdempotencyRecord, request: KeyedRequest): void {
  if (record.operation !== request.operation)
    throw new IdempotencyKeyReused(`for another operation, ${record.operation}`, []);
  if (!record.fingerprint.equals(request.fingerprint)) {
    const mismatched = mismatchedMembers(record.members, request.members);
    throw new IdempotencyKeyReused('with another request', mismatched);
  }
}

/** The answer that a completed record stores. */
export function resultOf(record: IdempotencyRecord, replayed: boolean): Result {
  const { response_status, response_headers, response_body, expires_at } = record;
  if (response_status === null || !response_headers || response_body === null || !expires_at) {
    throw new Error('a completed record without its answer'); // the CHECK constraint forbids it
  }
  return {
    answer: { status: response_status, headers: response_headers, body: response_body },
    expiresAt: expires_at,
    replayed,
    originalRequestId: record.request_id,
  };
}

/** The claim that a record in progress stands for. */
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
 * Stores the answer and, in the same statement, what `write` says. The time to live begins here, by the database's clock.
 * @returns when the answer expires; undefined if the claim is lost: nothing was written.
 * @throws 22012 (division by zero, so that all is undone) if `write` has found no object to change.
 */
export async function completeRecord(
  db: Queryable,
  claim: Claim,
  answer: Answer,
  ttlSeconds: number,
  { sql, values }: Write = NO_WRITE,
): Promise<Date | undefined> {
  const $ = (position: number) => `$${values.length + position}`;
  const rows = await db.query<{ expires_at: Date }>(
    `WITH record AS (
       UPDATE idempotency_records
       SET state = 'completed', completed_at = now(), expires_at = now() + ${$(5)} * interval '1 second',
         lease_expires_at = NULL, next_attempt_at = NULL,
         response_status = ${$(6)}, response_headers = ${$(7)}, response_body = ${$(8)}
       WHERE account_id = ${$(1)} AND key = ${$(2)} AND resource_id = ${$(3)} AND epoch = ${$(4)}
         AND completed_at IS NULL
       RETURNING account_id, resource_id, first_seen_at, expires_at
     ), ${sql}
     SELECT expires_at, 1 / (SELECT count(*) FROM object) FROM record`,
    [
      ...values,
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
  return rows[0]?.expires_at;
}
