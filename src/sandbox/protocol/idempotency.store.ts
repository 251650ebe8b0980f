import type pg from 'pg';
import type { Tx } from '../ledger.schema.js';
import { keyInUse, keyReused } from './stripe.errors.js';

/** The data of one request that idempotency needs. */
export interface Attempt {
  /** Absent: nothing is looked up or stored, and every request counts as the first. */
  key: string | undefined;
  /** Unique, so it also identifies the owner of a `running` row. */
  requestId: string;
  endpoint: string;
  fingerprint: string;
}

export interface Stored {
  status: number;
  body: string;
  requestId: string;
}

export type Earlier = { state: 'unseen' | 'refused' } | { state: 'completed'; stored: Stored };

/**
 * Locks the key for this transaction and returns what happened under it before.
 * @throws StripeError 409 while another request runs, 400 if the key was used for something else
 */
export async function claim(tx: Tx, attempt: Attempt, keyTtlSeconds: number): Promise<Earlier> {
  const { key } = attempt;
  if (key === undefined) return { state: 'unseen' };
  // A separate statement: the SELECT below must take its snapshot after the lock is held.
  const lock = await tx.query<{ taken: boolean }>(
    'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 4242)) AS taken',
    [key],
  );
  if (!lock.rows[0]?.taken) throw keyInUse(key);
  const { rows } = await tx.query<{
    state: 'refused' | 'running' | 'completed';
    request_id: string;
    endpoint: string;
    fingerprint: string;
    status: number;
    body: string;
    leased: boolean;
    expired: boolean;
  }>(
    `SELECT state, request_id, endpoint, fingerprint, status, body,
            coalesce(lease_until > clock_timestamp(), false) AS leased,
            stored_at <= clock_timestamp() - make_interval(secs => $2) AS expired
     FROM sandbox.idempotency_keys WHERE key = $1`,
    [key, keyTtlSeconds],
  );
  const row = rows[0];
  if (row?.leased) throw keyInUse(key);
  if (!row || row.expired || row.state === 'running') return { state: 'unseen' };
  if (row.state === 'refused') return { state: 'refused' };
  if (row.endpoint !== attempt.endpoint || row.fingerprint !== attempt.fingerprint) {
    throw keyReused(key, row.endpoint, attempt.endpoint);
  }
  const stored = { status: row.status, body: row.body, requestId: row.request_id };
  return { state: 'completed', stored };
}

/** Inserts or overwrites the key's row. The caller has locked the key. */
export async function write(
  tx: Tx,
  attempt: Attempt,
  state: 'refused' | 'running' | 'completed',
  { leaseMs, status, body }: { leaseMs?: number; status?: number; body?: string } = {},
): Promise<void> {
  if (attempt.key === undefined) return;
  await tx.query(
    `INSERT INTO sandbox.idempotency_keys
       (key, state, request_id, endpoint, fingerprint, lease_until, status, body, stored_at)
     VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6 / 1000.0), $7, $8,
       clock_timestamp())
     ON CONFLICT (key) DO UPDATE SET state = excluded.state, request_id = excluded.request_id,
       endpoint = excluded.endpoint, fingerprint = excluded.fingerprint,
       lease_until = excluded.lease_until, status = excluded.status, body = excluded.body,
       stored_at = excluded.stored_at`,
    [
      attempt.key,
      state,
      attempt.requestId,
      attempt.endpoint,
      attempt.fingerprint,
      leaseMs,
      status,
      body,
    ],
  );
}

/**
 * Checks that a `running` row still belongs to this attempt, and locks it until the transaction ends.
 * @throws StripeError 409 if the lease ran out and another request took over the key
 */
export async function lockRunning(tx: Tx, { key, requestId }: Attempt): Promise<void> {
  if (key === undefined) return;
  // Waits for a duplicate that is reading the key now, and blocks others.
  await tx.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 4242))', [key]);
  const { rowCount } = await tx.query(
    `SELECT 1 FROM sandbox.idempotency_keys
     WHERE key = $1 AND request_id = $2 AND state = 'running' FOR UPDATE`,
    [key, requestId],
  );
  if (rowCount === 0) throw keyInUse(key);
}

/** Releases a key whose work did not happen. */
export async function freeRunning(pool: pg.Pool, { key, requestId }: Attempt): Promise<void> {
  await pool.query(
    `DELETE FROM sandbox.idempotency_keys WHERE key = $1 AND request_id = $2 AND state = 'running'`,
    [key, requestId],
  );
}

/** Deletes expired keys. Reads check the age themselves and do not depend on this. */
export async function pruneKeys(pool: pg.Pool, keyTtlSeconds: number): Promise<void> {
  await pool.query(
    `DELETE FROM sandbox.idempotency_keys
     WHERE stored_at < now() - make_interval(secs => $1) AND (lease_until IS NULL OR lease_until < now())`,
    [keyTtlSeconds],
  );
}
