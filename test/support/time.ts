import type pg from 'pg';

/**
 * Moves one charge into the past by SQL, because PostgreSQL is the only clock. The processor's payments move with it.
 */
export async function age(db: pg.Pool, chargeId: string, seconds: number): Promise<void> {
  await db.query(
    `UPDATE charges SET created_at = created_at - $2 * interval '1 second',
       settled_at = settled_at - $2 * interval '1 second' WHERE id = $1`,
    [chargeId, seconds],
  );
  await db.query(
    `UPDATE idempotency_records SET first_seen_at = first_seen_at - $2 * interval '1 second',
       completed_at = completed_at - $2 * interval '1 second',
       expires_at = expires_at - $2 * interval '1 second',
       lease_expires_at = lease_expires_at - $2 * interval '1 second',
       next_attempt_at = next_attempt_at - $2 * interval '1 second' WHERE resource_id = $1`,
    [chargeId, seconds],
  );
  await db.query(
    `UPDATE sandbox.payment_intents SET created_at = created_at - $2 * interval '1 second'
     WHERE metadata ->> 'charge' = $1`,
    [chargeId, seconds],
  );
}

/** Ends the lease of an unfinished record, as if its holder had died or slept. */
export async function endLease(db: pg.Pool, key: string): Promise<void> {
  const { rowCount } = await db.query(
    `UPDATE idempotency_records SET lease_expires_at = clock_timestamp() WHERE key = $1 AND state = 'in_progress'`,
    [key],
  );
  if (rowCount !== 1) throw new Error(`${key} has no lease`);
}

/** The same for every unfinished record. */
export async function endLeases(db: pg.Pool): Promise<void> {
  await db.query(
    `UPDATE idempotency_records SET lease_expires_at = clock_timestamp()
     WHERE state = 'in_progress' AND lease_expires_at > clock_timestamp()`,
  );
}

/** Sets when a stored answer expires, in seconds from now. Negative: in the past. */
export async function expireIn(db: pg.Pool, key: string, seconds: number): Promise<void> {
  const { rowCount } = await db.query(
    `UPDATE idempotency_records SET expires_at = clock_timestamp() + $2 * interval '1 second'
     WHERE key = $1 AND state = 'completed'`,
    [key, seconds],
  );
  if (rowCount !== 1) throw new Error(`${key} has no stored answer`);
}

/** Makes the processor forget a key, as Stripe does after a day. */
export async function forgetAtProcessor(db: pg.Pool, key: string): Promise<void> {
  const { rowCount } = await db.query('DELETE FROM sandbox.idempotency_keys WHERE key = $1', [key]);
  if (rowCount !== 1) throw new Error(`the processor does not know ${key}`);
}
