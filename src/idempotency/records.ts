import type { Queryable, Tx } from './database.js';
import type { Answer, Write } from './operation.js';
import {
  claimOf,
  RECORD_COLUMNS,
  type Claim,
  type IdempotencyRecord,
  type KeyedRequest,
} from './record.entity.js';

// Queries find a record by its primary key, and check `completed_at IS NULL` for "in progress" (a CHECK keeps the two
// consistent). With `state = 'in_progress'` the planner would prefer the partial index of unfinished records, and
// read every row completed since the last VACUUM. Proof: test/operation/plans.spec.ts.
//
// An UPDATE or DELETE calls no volatile function, because Citus, which shards by account, refuses it there: it reads
// the clock in a SELECT. `now()` is not volatile.

/** Numbers the engine's parameters, which follow the parameters of the operation's write. */
function parametersAfter({ length }: readonly unknown[]): (position: number) => string {
  return (position) => `$${length + position}`;
}

/** For beats that write their object in separate statements. */
const NO_WRITE: Write = { sql: 'object AS (SELECT FROM record)', values: [] };

/**
 * The race for the key, in one statement: it inserts the record with its object, or returns the existing record. Only
 * one of many concurrent requests inserts; the others wait for its commit.
 *
 * `ON CONFLICT` has no target. With a target, a conflict with the table's other unique constraint would raise 23505
 * in an INSERT that runs at the same time as the winner's. Proof: test/white-box/idempotency/races.spec.ts.
 *
 * @returns `claim` if this statement inserted the record; undefined if another request inserted it after this
 *   statement began: read again to find it.
 * @throws 23505 if the object exists without a record, or 22012 (division by zero) if the write has not made exactly one
 *   object, for example because it ignores a conflict. Nothing was written.
 */
export async function insertOrFindRecord(
  db: Queryable,
  request: KeyedRequest,
  leaseMs: number,
  { sql, values }: Write = NO_WRITE,
): Promise<{ record: IdempotencyRecord; claim?: Claim } | undefined> {
  const leasedUntil = performance.now() + leaseMs;
  const $ = parametersAfter(values);
  const rows = await db.query<IdempotencyRecord & { is_new: boolean }>(
    `WITH record AS (
       INSERT INTO idempotency_records (account_id, key, operation, resource_id, fingerprint, members, request_id,
         state, epoch, attempts, in_doubt, first_seen_at, lease_expires_at)
       VALUES (${$(1)}, ${$(2)}, ${$(3)}, ${$(4)}, ${$(5)}, ${$(6)}, ${$(7)}, 'in_progress', 1, 1, false,
         clock_timestamp(), clock_timestamp() + ${$(8)} * interval '1 millisecond')
       ON CONFLICT DO NOTHING RETURNING ${RECORD_COLUMNS}
     ), ${sql}
     SELECT *, 1 / (SELECT (count(*) = 1)::int FROM object) = 1 AS is_new FROM record
     UNION ALL -- sees only what was committed before this statement, so not the row above
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
 * Deletes an expired record before a new reserve. Comparing epoch and id protects a row that has replaced it. A new
 * record of the same key can have the same epoch and id, but it has not expired.
 */
export async function deleteExpired(tx: Tx, record: IdempotencyRecord): Promise<void> {
  await tx.query(
    `DELETE FROM idempotency_records
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND epoch = $4 AND completed_at IS NOT NULL
       AND expires_at <= now()`,
    [record.account_id, record.key, record.resource_id, record.epoch],
  );
}

/** Takes over an unfinished record, even from a live holder: locks the row and increments its epoch. */
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

/**
 * Locks the record for settling. @returns false if the claim is lost. Lock order everywhere: record, then object,
 * then the rest.
 */
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
 * Stores the answer and runs `write`, in one statement. The time to live starts here, on the database's clock.
 * @returns when the answer expires; undefined if the claim is lost: nothing was written.
 * @throws 22012 (division by zero, so that everything rolls back) if `write` has not changed exactly one object.
 */
export async function completeRecord(
  db: Queryable,
  claim: Claim,
  answer: Answer,
  ttlSeconds: number,
  { sql, values }: Write = NO_WRITE,
): Promise<Date | undefined> {
  const $ = parametersAfter(values);
  const rows = await db.query<{ expires_at: Date }>(
    `WITH clock AS (SELECT clock_timestamp() AS ended_at), record AS (
       UPDATE idempotency_records
       SET state = 'completed', completed_at = ended_at, expires_at = ended_at + ${$(5)} * interval '1 second',
         lease_expires_at = NULL, next_attempt_at = NULL,
         response_status = ${$(6)}, response_headers = ${$(7)}, response_body = ${$(8)}
       FROM clock
       WHERE account_id = ${$(1)} AND key = ${$(2)} AND resource_id = ${$(3)} AND epoch = ${$(4)}
         AND completed_at IS NULL
       RETURNING account_id, resource_id, first_seen_at, expires_at
     ), ${sql}
     SELECT expires_at, 1 / (SELECT (count(*) = 1)::int FROM object) FROM record`,
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
