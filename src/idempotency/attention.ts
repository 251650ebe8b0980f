// Records whose recovery always fails through our own fault: `load`, `perform` or `settle` throws, or the process dies.
// Each attempt calls the other service, so the sweep must stop after a limit. Proof:
// test/white-box/idempotency/recovery.spec.ts.
//
// The sweep increments `failures` when it claims the record, so an attempt whose process is killed also counts. The
// attempt is subtracted again if it ends without an outcome, or loses its claim or its connection: these causes are
// temporary. So a deploy that kills an attempt counts once. A record that kills every process reaches the limit.
//
// Attempts of clients do not count: an impatient client must not use up the sweep's attempts. A client's retry still
// makes one attempt on a record that needs attention, under the same id, and completes it if the fault is gone.
import type { Queryable } from './database.js';

/** About 15 minutes with the back-off: longer than a bad deploy, and soon enough for a person to act. */
export const DEFAULT_MAX_FAILURES = 20;

/** The sweep no longer retries this record. False while an attempt runs, because that attempt may still settle. */
export const NEEDS_ATTENTION = `state = 'in_progress' AND needs_attention
  AND COALESCE(lease_expires_at <= clock_timestamp(), true)`;

export interface RecordNeedingAttention {
  account_id: string;
  resource_id: string;
  operation: string;
  attempts: number;
  first_seen_at: Date;
  /** The last attempt did not release its lease: its process died. */
  died: boolean;
}

/** Oldest first, of all accounts. Takes no locks. */
export async function listNeedingAttention(db: Queryable): Promise<RecordNeedingAttention[]> {
  return db.query(
    `SELECT account_id, resource_id, operation, attempts, first_seen_at, lease_expires_at IS NOT NULL AS died
     FROM idempotency_records WHERE ${NEEDS_ATTENTION}
     ORDER BY first_seen_at, resource_id`,
  );
}

/**
 * Lets the sweep retry the record, with `failures` at 0. Idempotent.
 * @returns false if the record no longer needs attention.
 */
export async function returnToSweep(
  db: Queryable,
  { account_id, resource_id }: Pick<RecordNeedingAttention, 'account_id' | 'resource_id'>,
): Promise<boolean> {
  const changed = await db.query(
    `UPDATE idempotency_records SET failures = 0, needs_attention = false, next_attempt_at = now()
     WHERE account_id = $1 AND resource_id = $2 AND completed_at IS NULL AND needs_attention
     RETURNING epoch`,
    [account_id, resource_id],
  );
  return changed.length === 1;
}
