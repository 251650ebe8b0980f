import type { Queryable } from '../database/database.js';
import { CHARGE_INVARIANTS } from './charge.invariants.js';
import { DELIVERY_INVARIANTS, EFFECT_INVARIANTS } from './effect.invariants.js';
import { EVENT_INVARIANTS } from './event.invariants.js';
import { asOneQuery, type Finding, type Invariant } from './invariant.js';
import { NOTIFICATION_INVARIANTS } from './notification.invariants.js';
import { ORDER_INVARIANTS } from './order.invariants.js';
import { RECORD_INVARIANTS } from './record.invariants.js';

/**
 * Every sentence that must be true of the rows at every moment. A module that brings a table brings its
 * invariants: a file beside these, one line here.
 * Proof: test/white-box/audit/audit.spec.ts plants each fault and sees it found.
 */
export const INVARIANTS: readonly Invariant[] = [
  ...RECORD_INVARIANTS,
  ...CHARGE_INVARIANTS,
  ...ORDER_INVARIANTS,
  ...EVENT_INVARIANTS,
  ...EFFECT_INVARIANTS,
  ...DELIVERY_INVARIANTS,
  ...NOTIFICATION_INVARIANTS,
];

const SEVEN_DAYS_SECONDS = 7 * 24 * 3600;

/**
 * Looks for broken invariants while everything runs: one statement, one snapshot, no locks.
 * @param ttlSeconds how long a stored answer lives (IDEMPOTENCY_TTL_SECONDS). If the processes had a shorter one,
 *   charges whose records were reaped in good order are reported.
 * @returns nothing, when the books are in order.
 */
export async function audit(db: Queryable, ttlSeconds = SEVEN_DAYS_SECONDS): Promise<Finding[]> {
  return db.query(`${asOneQuery(INVARIANTS)} ORDER BY invariant, account_id, id`, [ttlSeconds]);
}
