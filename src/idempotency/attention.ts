// A record whose recovery fails by a fault of our own, each time: `load`, `perform` or `settle` throws, or the process
// dies. Each attempt calls outside, so the sweep must stop. Proof: test/white-box/idempotency/recovery.spec.ts.
//
// The sweep counts an attempt in `failures` when it claims the record, so a process that is killed has counted, too.
// The attempt takes itself out of the count if it ends open (the other side has no outcome yet), loses the database or
// loses its claim: all three pass by themselves. Only a settle ends the count. One deploy that kills an attempt
// therefore counts one; a record that kills every process that touches it reaches the limit.
//
// The attempts of clients do not count: the client bounds them, and an impatient one must not use up the sweep's. A
// client's retry still takes a record that needs attention, for one attempt under the same id, and heals it if the fault
// is gone.
import type { Queryable } from './database.js';

/** About a quarter of an hour with the back-off: longer than a bad deploy lasts, short enough for a person to act. */
export const DEFAULT_MAX_FAILURES = 20;

/** True for a record that the sweep has stopped repeating. While an attempt runs, it may still settle. */
export const NEEDS_ATTENTION = `state = 'in_progress' AND needs_attention
  AND COALESCE(lease_expires_at <= clock_timestamp(), true)`;

export interface RecordNeedingAttention {
  account_id: string;
  resource_id: string;
  operation: string;
  attempts: number;
  first_seen_at: Date;
  /** The last attempt did not give its lease back: its process died. */
  died: boolean;
}

/** Oldest first; across accounts, so without locks. */
export async function listNeedingAttention(db: Queryable): Promise<RecordNeedingAttention[]> {
  return db.query(
    `SELECT account_id, resource_id, operation, attempts, first_seen_at, lease_expires_at IS NOT NULL AS died
     FROM idempotency_records WHERE ${NEEDS_ATTENTION}
     ORDER BY first_seen_at, resource_id`,
  );
}

/**
 * Gives the record to the sweep again, with a new count. Idempotent.
 * @returns false if it does not need attention any more.
 */
export async function repeatAgain(
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
