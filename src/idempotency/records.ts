import type { Queryable, Tx } from './database.js';
import type { Answer, Write } from './operation.js';
import {
  claimOf,
  RECORD_COLUMNS,
  type Claim,
  type IdempotencyRecord,
  type KeyedRequest,
} from './record.entity.js';

// Below, a record is named by its primary key, and `completed_at IS NULL` says that it is in progress (a CHECK holds
// the two together). `state = 'in_progress'` would say so, too, but then PostgreSQL takes the index of unfinished records
// and reads all that were completed since the last VACUUM. Proof: test/operation/plans.spec.ts.

/** The engine's own parameters, from 1 on, behind those of the operation's write. */
function parametersAfter({ length }: readonly unknown[]): (position: number) => string {
  return (position) => `$${length + position}`;
}

/** No object: a transaction writes it with statements of its own. */
const NO_WRITE: Write = { sql: 'object AS (SELECT FROM record)', values: [] };

/**
 * The race for the key, in one statement: it inserts the record with its object, or it returns the record that is there.
 * Of many at once one inserts; the others wait for its commit.
 *
 * `ON CONFLICT` has no target: with one, a conflict with the table's other unique constraint would be error 23505 for
 * an INSERT that runs beside the winner's. Proof: test/white-box/idempotency/races.spec.ts.
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
  const $ = parametersAfter(values);
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
 * @throws 22012 (division by zero, so that all is undone) if `write` has not changed one object.
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
    `WITH record AS (
       UPDATE idempotency_records
       SET state = 'completed', completed_at = now(), expires_at = now() + ${$(5)} * interval '1 second',
         lease_expires_at = NULL, next_attempt_at = NULL,
         response_status = ${$(6)}, response_headers = ${$(7)}, response_body = ${$(8)}
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
