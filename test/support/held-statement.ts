import pg from 'pg';
import { deriveId } from './internals.js';
import type { Beat } from './database-proxy.js';
import type { Gate } from './gate.js';
import { charge, type Reply } from './raw-client.js';
import { until } from './until.js';

/** Charges whose single statement has written the record, waits to write the charge, and has not ended. */
export interface HeldStatements {
  replies: Promise<Reply>[];
  /** How many of the statements still wait for the lock. */
  waiting(): Promise<number>;
  /** Releases the lock. Idempotent. */
  release(): Promise<void>;
}

export interface HowToHold {
  apiUrl: string;
  gate: Gate;
  databaseUrl: string;
  beat: Beat;
  keys: string[];
  /** Further members of the charges' bodies. */
  body?: Record<string, unknown>;
}

/**
 * Starts a charge for each key and holds it inside the single statement that writes it, where no probe reaches: another
 * session locks the charge's id.
 */
export async function holdStatements(how: HowToHold): Promise<HeldStatements> {
  const { apiUrl, gate, beat, keys, body } = how;
  const blocker = new pg.Client({ connectionString: how.databaseUrl });
  blocker.on('error', () => undefined); // a test may kill its server
  await blocker.connect();
  await blocker.query('BEGIN');
  const { rows } = await blocker.query<{ pid: number; account: string }>(
    `SELECT pg_backend_pid() AS pid, id AS account FROM accounts WHERE name = 'acme'`,
  );
  const { pid, account } = rows[0]!;
  const ids = keys.map((key) => deriveId('ch', account, 'POST /charges', key));
  const waiting = () => statementsHeld(how.databaseUrl, pid);
  const send = () => keys.map((key) => charge(apiUrl, key, body));

  let replies: Promise<Reply>[];
  if (beat === 'reserve') {
    // The same id, uncommitted: the INSERT must wait until it is known whether the id is taken.
    await blocker.query(
      `INSERT INTO charges (account_id, id, status, amount, currency, payment_method, metadata, processor, processor_parameters)
       SELECT $1, unnest($2::text[]), 'pending', 1, 'eur', 'pm', '{}', 'none', '{}'`,
      [account, ids],
    );
    replies = send();
  } else {
    const open = gate.close();
    replies = send();
    await gate.held(keys.length);
    await blocker.query('SELECT FROM charges WHERE id = ANY($1) FOR UPDATE', [ids]);
    open();
  }
  for (const reply of replies) reply.catch(() => undefined); // awaited later
  await until(async () => (await waiting()) === keys.length);
  return { replies, waiting, release: () => blocker.end().catch(() => undefined) };
}

/** How many of the service's statements wait for a lock. @param holder counts only those that this backend holds up. */
export async function statementsHeld(databaseUrl: string, holder?: number): Promise<number> {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ count: number }>(
      `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'charge-once' AND wait_event_type = 'Lock'
         AND ($1::int IS NULL OR $1 = ANY (pg_blocking_pids(pid)))`,
      [holder],
    );
    return rows[0]!.count;
  } finally {
    await client.end();
  }
}

/** How many statements with this text in them wait for a lock. */
export async function statementsWaiting(db: pg.Pool, text: string): Promise<number> {
  const { rows } = await db.query(
    `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
       AND query LIKE '%' || $1 || '%'`,
    [text],
  );
  return rows.length;
}
