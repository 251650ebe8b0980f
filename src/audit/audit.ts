import { inTransaction, type Queryable } from '../idempotency/database.js';
import charges from './charges.sql.js';
import constraints from './constraints.sql.js';
import effects from './effects.sql.js';
import events from './events.sql.js';
import { asOneQuery, invariantsOf, type Finding } from './invariant.js';
import notifications from './notifications.sql.js';
import orders from './orders.sql.js';
import records from './records.sql.js';
import webhooks from './webhooks.sql.js';

// Everything that must be true of the rows at every moment, as SQL files that also run in psql. A module that adds a
// table adds a file beside these, and a line here. Proof: test/white-box/audit/audit.spec.ts plants each fault, and the
// audit finds it. NOT MATERIALIZED lets the planner use indexes: a join without them is quadratic while its statistics
// are old.
const FILES = [records, charges, orders, events, effects, webhooks, notifications, constraints];

export const INVARIANTS: readonly string[] = FILES.flatMap(invariantsOf);

const SEVEN_DAYS_SECONDS = 7 * 24 * 3600;

/**
 * Looks for broken invariants while the service runs: one statement, one snapshot, no locks.
 * @param ttlSeconds how long a stored answer is kept (IDEMPOTENCY_TTL_SECONDS). If the processes keep it shorter, the
 *   audit reports charges whose records were reaped correctly.
 * @returns an empty list if it finds nothing.
 */
export async function audit(db: Queryable, ttlSeconds = SEVEN_DAYS_SECONDS): Promise<Finding[]> {
  return inTransaction(db, async (tx) => {
    await tx.query(`SELECT set_config('audit.ttl_seconds', $1, true)`, [String(ttlSeconds)]);
    return tx.query(asOneQuery(FILES));
  });
}
