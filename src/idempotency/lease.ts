import type { Queryable } from './database.js';
import { SETTLE_MS } from './engine-options.js';
import { claimOf, type Claim, type IdempotencyRecord } from './record.entity.js';

/**
 * The first pause between two attempts of the sweep; it doubles. A shorter one would overload a service that is down.
 */
const FIRST_BACKOFF_MS = 1_000;
/** A longer pause would delay clients after the service has recovered. */
const LONGEST_BACKOFF_MS = 60_000;

/**
 * Takes over a free record by compare-and-set on its epoch: only one of several processes gets it. If the holder has
 * renewed its lease since the record was read, the holder loses it, and its epoch writes nothing.
 * @param maxFailures set by the sweep: the attempt counts as a failure from now on. If its process dies, the next
 *   attempt waits for the back-off. Its jitter separates records whose attempts died together.
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
      maxFailures ?? null, // NULL: a client's claim does not change needs_attention
    ],
  );
  return rows[0] && { ...claimOf(record), ...rows[0], inDoubt, leasedUntil, bySweep };
}

/**
 * How long the holder may call outside, in whole ms, as timers need. If half of that time has already passed (a slow
 * lock, an unreachable database, a suspended process), it starts a new lease: an attempt without time would be useless
 * to the client.
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
 * Starts a new lease. Delays the sweep's next attempt by the same time, so it still starts some time after the lease
 * ends.
 * @returns how long the holder may call outside, as in `timeForCalls`; undefined if the claim is lost.
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

/**
 * Releases the lease without an outcome. Only the sweep waits for the time of the next attempt.
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
 * Subtracts from `failures` an attempt that lost its claim but did not fail. It does not compare the epoch: the new
 * holder has already added its own attempt. Without this attempt the count was below the limit, so `needs_attention`
 * is cleared too.
 */
export async function uncountAttempt(db: Queryable, claim: Claim): Promise<void> {
  if (!claim.bySweep) return;
  await db.query(
    `UPDATE idempotency_records SET failures = GREATEST(failures - 1, 0), needs_attention = false
     WHERE account_id = $1 AND key = $2 AND resource_id = $3 AND completed_at IS NULL`,
    [claim.accountId, claim.key, claim.id],
  );
}

/** The pause after `attempts` attempts, in ms: it doubles each time, with jitter. */
function backOffMs(attempts: number): number {
  const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** Math.min(attempts - 1, 16), LONGEST_BACKOFF_MS);
  return Math.round(backoff * (0.75 + Math.random() / 2));
}
