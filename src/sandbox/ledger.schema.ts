import pg from 'pg';
import {
  isReadOnly,
  nameStatements,
  requireFitSession,
  SESSION_OPTIONS,
} from './ledger.session.js';

/** A connection in an open transaction. First parameter of every function that runs in it. */
export type Tx = pg.PoolClient;

// One advisory lock for creating the schema: CREATE … IF NOT EXISTS alone fails with a duplicate key in the catalogue
// when two processes start on an empty database in parallel.
const SCHEMA_LOCK = '4242000001';

const TABLES = `
CREATE SCHEMA IF NOT EXISTS sandbox;

CREATE TABLE IF NOT EXISTS sandbox.payment_intents (
  id                   text PRIMARY KEY,
  amount               bigint NOT NULL,
  amount_received      bigint NOT NULL DEFAULT 0,
  amount_refunded      bigint NOT NULL DEFAULT 0,
  currency             text NOT NULL,
  status               text NOT NULL,
  payment_method       text,
  payment_method_types text[] NOT NULL,
  allow_redirects      text,
  description          text,
  receipt_email        text,
  metadata             jsonb NOT NULL,
  latest_charge        text,
  last_payment_error   jsonb,
  cancellation_reason  text,
  canceled_at          timestamptz,
  created_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT payment_intents_amount_in_range CHECK (amount BETWEEN 1 AND 99999999),
  CONSTRAINT payment_intents_status_known CHECK (status IN ('requires_payment_method',
    'requires_confirmation', 'requires_action', 'succeeded', 'canceled')),
  CONSTRAINT payment_intents_succeeded_has_charge CHECK (
    (status = 'succeeded' AND amount_received = amount AND latest_charge IS NOT NULL)
    OR (status <> 'succeeded' AND amount_received = 0)),
  CONSTRAINT payment_intents_canceled_has_time CHECK ((status = 'canceled') = (canceled_at IS NOT NULL)),
  CONSTRAINT payment_intents_refunded_at_most_received CHECK (amount_refunded BETWEEN 0 AND amount_received)
);
CREATE INDEX IF NOT EXISTS payment_intents_newest ON sandbox.payment_intents (created_at DESC, id DESC);

CREATE TABLE IF NOT EXISTS sandbox.refunds (
  id             text PRIMARY KEY,
  payment_intent text NOT NULL,
  charge         text NOT NULL,
  amount         bigint NOT NULL,
  currency       text NOT NULL,
  status         text NOT NULL,
  reason         text,
  metadata       jsonb NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT refunds_of_a_payment FOREIGN KEY (payment_intent) REFERENCES sandbox.payment_intents (id),
  CONSTRAINT refunds_amount_positive CHECK (amount > 0)
);
-- A ledger of an earlier version has only refunds that succeed at once. The condition avoids the table lock at every
-- later boot.
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_attribute
    WHERE attrelid = 'sandbox.refunds'::regclass AND attname = 'turns_at') THEN
    ALTER TABLE sandbox.refunds
      DROP CONSTRAINT IF EXISTS refunds_status_known,
      ADD COLUMN failure_reason text,
      ADD COLUMN turns_at timestamptz,
      ADD CONSTRAINT refunds_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
      ADD CONSTRAINT refunds_failed_has_reason CHECK ((status = 'failed') = (failure_reason IS NOT NULL));
  END IF;
END $$;
CREATE INDEX IF NOT EXISTS refunds_turning ON sandbox.refunds (turns_at) WHERE turns_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS refunds_newest ON sandbox.refunds (created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS refunds_of_payment ON sandbox.refunds (payment_intent, created_at DESC, id DESC);

CREATE TABLE IF NOT EXISTS sandbox.idempotency_keys (
  key         text PRIMARY KEY,
  state       text NOT NULL,
  request_id  text NOT NULL,
  endpoint    text NOT NULL,
  fingerprint text NOT NULL,
  lease_until timestamptz,
  status      integer,
  body        text,
  stored_at   timestamptz NOT NULL,
  CONSTRAINT idempotency_keys_state_known CHECK (state IN ('refused', 'running', 'completed')),
  CONSTRAINT idempotency_keys_running_has_lease CHECK ((state = 'running') = (lease_until IS NOT NULL)),
  CONSTRAINT idempotency_keys_completed_has_answer CHECK (
    (state = 'completed') = (status IS NOT NULL AND body IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS idempotency_keys_oldest ON sandbox.idempotency_keys (stored_at);

CREATE TABLE IF NOT EXISTS sandbox.events (
  id              text PRIMARY KEY,
  type            text NOT NULL,
  -- The bytes that are signed and sent, the same in each attempt.
  body            text NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts        integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz,
  give_up_at      timestamptz NOT NULL,
  delivered_at    timestamptz
);
CREATE INDEX IF NOT EXISTS events_newest ON sandbox.events (created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS events_undelivered ON sandbox.events (give_up_at) WHERE delivered_at IS NULL;
`;

/** The user's options from the URL, followed by ours, so that ours win. */
function target(databaseUrl: string) {
  const url = new URL(databaseUrl);
  const options = `${url.searchParams.get('options') ?? ''} ${SESSION_OPTIONS}`.trim();
  url.searchParams.delete('options');
  return { connectionString: url.href, options };
}

/** Opens the pool and creates the tables if they are missing. Safe when several processes start in parallel. */
export async function openLedger(databaseUrl: string): Promise<pg.Pool> {
  const pool = new pg.Pool({
    ...target(databaseUrl),
    max: 10,
    connectionTimeoutMillis: 5_000,
    application_name: 'charge-once sandbox',
    verify: (client, done) =>
      void requireFitSession(client)
        .then(({ pid }) => nameStatements(client, pid))
        .then(() => done(), done),
    // After a failover or a change of role settings, old sessions end within this time.
    maxLifetimeSeconds: 300,
  });
  // Without a listener, an idle connection that PostgreSQL closes would end the process.
  pool.on('error', () => undefined);
  try {
    await inTransaction(pool, async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock($1)', [SCHEMA_LOCK]);
      await tx.query(TABLES);
    });
  } catch (error) {
    await pool.end();
    throw error;
  }
  return pool;
}

/** Runs `work` in one transaction: commits when it returns, rolls back when it throws. */
export async function inTransaction<T>(pool: pg.Pool, work: (tx: Tx) => Promise<T>): Promise<T> {
  const tx = await pool.connect();
  // A connection lost between two statements emits an event; the next statement then fails.
  const ignore = (): void => undefined;
  tx.on('error', ignore);
  let broken: Error | undefined;
  try {
    await tx.query('BEGIN');
    const result = await work(tx);
    await tx.query('COMMIT');
    return result;
  } catch (error) {
    if (isReadOnly(error)) broken = error; // the pool closes it; another session may be able to write
    await tx.query('ROLLBACK').catch((lost: Error) => (broken ??= lost));
    throw error;
  } finally {
    tx.off('error', ignore);
    tx.release(broken);
  }
}
