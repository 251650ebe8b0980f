import type pg from 'pg';
import type { Purchase } from './purchase.js';

/** What the database holds of one purchase. */
export interface Observation {
  record: RecordSeen | null;
  records: number;
  /** The status of each charge. */
  charges: string[];
  /** The type of each event. */
  events: string[];
  parked: number;
  /** The status of the order, if there is one. */
  order: string | null;
  held: number | null;
}

interface RecordSeen {
  state: 'in_progress' | 'completed';
  epoch: number;
  request_id: string;
  free: boolean;
  expired: boolean;
  response_status: number | null;
  response_body: string | null;
}

const OBSERVE = `SELECT
  (SELECT row_to_json(seen) FROM (
    SELECT state, epoch, request_id, response_status, response_body,
      state = 'in_progress' AND COALESCE(lease_expires_at <= clock_timestamp(), true) AS free,
      COALESCE(expires_at <= clock_timestamp(), false) AS expired
    FROM idempotency_records WHERE account_id = $1 LIMIT 1) AS seen) AS record,
  (SELECT count(*)::int FROM idempotency_records WHERE account_id = $1) AS records,
  ARRAY(SELECT status FROM charges WHERE account_id = $1) AS charges,
  ARRAY(SELECT type FROM events WHERE account_id = $1 ORDER BY type) AS events,
  (SELECT count(*)::int FROM parked_payments WHERE account_id = $1) AS parked,
  (SELECT status FROM orders WHERE account_id = $1) AS "order",
  (SELECT held::int FROM products WHERE account_id = $1) AS held`;

export async function observe(control: pg.Client, { account }: Purchase): Promise<Observation> {
  const query = { name: 'observe', text: OBSERVE, values: [account] };
  return (await control.query<Observation>(query)).rows[0]!;
}

/**
 * Time passes: the lease ends, and the sweep's next attempt is due. Not while a transaction has locked the row: its
 * statements do not read the clock, so that would be the same as before its first one.
 */
export async function endLease(control: pg.Client, { account }: Purchase): Promise<void> {
  await control.query(
    `UPDATE idempotency_records SET lease_expires_at = now() - interval '1 second',
       next_attempt_at = LEAST(next_attempt_at, now() - interval '1 second')
     WHERE ctid IN (SELECT ctid FROM idempotency_records
       WHERE account_id = $1 AND state = 'in_progress' FOR UPDATE SKIP LOCKED)`,
    [account],
  );
}

/** Time passes: the stored answer expires. */
export async function expireAnswer(control: pg.Client, { account }: Purchase): Promise<void> {
  await control.query(
    `UPDATE idempotency_records SET expires_at = now() - interval '1 second'
     WHERE account_id = $1 AND state = 'completed'`,
    [account],
  );
}

export async function removeRecord(control: pg.Client, { account }: Purchase): Promise<void> {
  await control.query('DELETE FROM idempotency_records WHERE account_id = $1', [account]);
}

/** For each session, the sessions whose locks it waits for. */
export async function blockersOf(
  control: pg.Client,
  pids: number[],
): Promise<Map<number, number[]>> {
  const { rows } = await control.query<{ pid: number; blockers: number[] }>({
    name: 'blockers',
    text: 'SELECT pid, pg_blocking_pids(pid) AS blockers FROM unnest($1::int[]) AS pid',
    values: [pids],
  });
  return new Map(rows.map(({ pid, blockers }) => [pid, blockers]));
}
