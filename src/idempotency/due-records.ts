import type { Queryable } from './database.js';
import { RECORD_COLUMNS, type IdempotencyRecord } from './record.entity.js';

/**
 * Unfinished records that are due, oldest first, of all accounts. Takes no locks, because Citus, which shards by
 * account, refuses them across accounts: each record is claimed by compare-and-set.
 * @param operations the operations that this process can finish. Without this filter, records of other operations
 *   could fill every batch.
 */
export async function listRecoverable(
  db: Queryable,
  operations: string[],
  limit: number,
): Promise<IdempotencyRecord[]> {
  return db.query(
    `SELECT ${RECORD_COLUMNS} FROM idempotency_records
     WHERE state = 'in_progress' AND NOT needs_attention AND operation = ANY($1)
       AND COALESCE(lease_expires_at <= clock_timestamp(), true)
       AND COALESCE(next_attempt_at <= clock_timestamp(), true)
     ORDER BY COALESCE(next_attempt_at, lease_expires_at, first_seen_at)
     LIMIT $2`,
    [operations, limit],
  );
}

/**
 * Deletes expired records, oldest first. Lists candidates across accounts without locks, then deletes the records of
 * each account by compare-and-set on their epochs. It compares with `now()`: a volatile clock cannot bound the index
 * scan, and each round would read all records that have not expired. The DELETE names the keys and not the state: by the
 * index of expiry it would read all that have expired.
 * @returns the number of candidates.
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
         WHERE state = 'completed' AND expires_at <= now()
         ORDER BY expires_at LIMIT $1
       ) AS expired
       GROUP BY account_id`,
    [limit],
  );
  for (const { account_id, keys, epochs } of candidates) {
    await db.query(
      `DELETE FROM idempotency_records
       WHERE account_id = $1 AND key = ANY($2) AND completed_at IS NOT NULL AND expires_at <= now()
         AND (key, epoch) IN (SELECT * FROM unnest($2::text[], $3::integer[]))`,
      [account_id, keys, epochs],
    );
  }
  return candidates.reduce((sum, { count }) => sum + count, 0);
}
