import type { Queryable, Tx } from '../database/database.js';
import type { Event } from './event.entity.js';
import { EVENT_COLUMNS } from './events.js';

/**
 * The next account, in their order, that has an event to relay. Covers all accounts, so it takes no locks. The order by
 * time, too, makes the partial index the only one in that order: the primary key would have to be read past all events
 * that are relayed.
 */
export async function findNextAccount(db: Queryable, after: string): Promise<string | undefined> {
  const rows = await db.query<{ account_id: string }>(
    `SELECT account_id FROM events WHERE relayed_at IS NULL AND account_id > $1
     ORDER BY account_id, created_at LIMIT 1`,
    [after],
  );
  return rows[0]?.account_id;
}

/**
 * Marks an account's oldest events as relayed; skips those that another relay has locked. NO KEY UPDATE, because a new
 * row that refers to an event (a resend) locks it FOR KEY SHARE: it must not make the relay skip the event.
 *
 * The ids are an array, so that the UPDATE finds its rows by the primary key: the plan of a join that was made while the
 * table is empty would read all events of the account.
 */
export async function markOldestRelayed(
  tx: Tx,
  accountId: string,
  limit: number,
): Promise<Event[]> {
  return tx.query<Event>(
    `UPDATE events SET relayed_at = now()
     WHERE account_id = $1 AND id = ANY(ARRAY(
       SELECT id FROM events WHERE account_id = $1 AND relayed_at IS NULL
       ORDER BY created_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED))
     RETURNING ${EVENT_COLUMNS}`,
    [accountId, limit],
  );
}
