import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Webhooks in both directions. */
export class Webhooks1763760007000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE webhook_endpoints (
        account_id text NOT NULL,
        id text NOT NULL,
        url text NOT NULL,
        events json NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        disabled_at timestamptz,
        deleted_at timestamptz,
        CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT webhook_endpoints_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id)
      )`);
    await db.query(`
      CREATE TABLE webhook_secrets (
        account_id text NOT NULL,
        id text NOT NULL,
        endpoint_id text NOT NULL,
        secret text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        CONSTRAINT webhook_secrets_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT webhook_secrets_endpoint_fkey FOREIGN KEY (account_id, endpoint_id)
          REFERENCES webhook_endpoints (account_id, id)
      )`);
    await db.query(
      `CREATE INDEX webhook_secrets_by_endpoint ON webhook_secrets (account_id, endpoint_id)`,
    );
    await db.query(`
      CREATE TABLE webhook_deliveries (
        account_id text NOT NULL,
        id text NOT NULL,
        endpoint_id text NOT NULL,
        event_id text NOT NULL,
        status text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        lease_expires_at timestamptz,
        next_attempt_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        -- Derived from endpoint, event and (for a resend) its cause: told twice, it is one delivery.
        CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT webhook_deliveries_endpoint_fkey FOREIGN KEY (account_id, endpoint_id)
          REFERENCES webhook_endpoints (account_id, id),
        CONSTRAINT webhook_deliveries_event_fkey FOREIGN KEY (account_id, event_id) REFERENCES events (account_id, id),
        CONSTRAINT webhook_deliveries_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed'))
      )`);
    await db.query(`
      CREATE INDEX webhook_deliveries_newest_first
      ON webhook_deliveries (account_id, endpoint_id, created_at DESC, id DESC)`);
    await db.query(`
      CREATE TABLE webhook_attempts (
        account_id text NOT NULL,
        delivery_id text NOT NULL,
        number integer NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(),
        response_status integer,
        error text,
        CONSTRAINT webhook_attempts_pkey PRIMARY KEY (account_id, delivery_id, number),
        CONSTRAINT webhook_attempts_delivery_fkey FOREIGN KEY (account_id, delivery_id)
          REFERENCES webhook_deliveries (account_id, id)
      )`);
    await db.query(`
      -- What the processor told us. Its event ids are its own, known before any account is.
      CREATE TABLE processor_events (
        processor text NOT NULL,
        id text NOT NULL,
        type text NOT NULL,
        account_id text NOT NULL,
        charge_id text NOT NULL,
        refund_id text,
        state text NOT NULL,
        fact json NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT processor_events_pkey PRIMARY KEY (processor, id),
        CONSTRAINT processor_events_state_is_known CHECK (state IN ('applied', 'waiting', 'parked'))
      )`);
    await db.query(`
      CREATE INDEX processor_events_waiting ON processor_events (received_at) WHERE state = 'waiting'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
