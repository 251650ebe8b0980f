import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Webhooks1796083208000 implements MigrationInterface {
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
        CONSTRAINT webhook_endpoints_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id)
      )`);
    await db.query(`
      COMMENT ON TABLE webhook_endpoints IS
        'A URL to which the events of an account are delivered. Written by the client through the API.'`);
    await db.query(`
      CREATE INDEX webhook_endpoints_newest_first ON webhook_endpoints (account_id, created_at DESC, id DESC)
      WHERE deleted_at IS NULL`);
    await db.query(`
      ALTER TABLE webhook_endpoints ADD CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (account_id, id)`);
    await db.query(`
      CREATE TABLE webhook_secrets (
        account_id text NOT NULL,
        id text NOT NULL,
        endpoint_id text NOT NULL,
        secret text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        CONSTRAINT webhook_secrets_endpoint_fkey FOREIGN KEY (account_id, endpoint_id)
          REFERENCES webhook_endpoints (account_id, id)
      )`);
    await db.query(`
      COMMENT ON TABLE webhook_secrets IS
        'A secret that signs the deliveries to an endpoint. Written with the endpoint and at each rotation.'`);
    await db.query(`
      CREATE INDEX webhook_secrets_by_endpoint ON webhook_secrets (account_id, endpoint_id)`);
    await db.query(`
      ALTER TABLE webhook_secrets ADD CONSTRAINT webhook_secrets_pkey PRIMARY KEY (account_id, id)`);
    await db.query(`
      CREATE TABLE webhook_deliveries (
        account_id text NOT NULL,
        id text NOT NULL,
        endpoint_id text NOT NULL,
        event_id text NOT NULL,
        status text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        next_attempt_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT webhook_deliveries_endpoint_fkey FOREIGN KEY (account_id, endpoint_id)
          REFERENCES webhook_endpoints (account_id, id),
        CONSTRAINT webhook_deliveries_event_fkey FOREIGN KEY (account_id, event_id) REFERENCES events (account_id, id),
        CONSTRAINT webhook_deliveries_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
        CONSTRAINT webhook_deliveries_pending_has_its_time CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))
      )`);
    await db.query(`
      COMMENT ON TABLE webhook_deliveries IS
        'An event for an endpoint, and its schedule. Written by the relay or a resend, then by each attempt.'`);
    await db.query(`
      COMMENT ON COLUMN webhook_deliveries.next_attempt_at IS
        'When it is due. While an attempt runs, the end of its lease.'`);
    await db.query(`
      CREATE INDEX webhook_deliveries_newest_first
      ON webhook_deliveries (account_id, endpoint_id, created_at DESC, id DESC)`);
    await db.query(`
      CREATE INDEX webhook_deliveries_of_event ON webhook_deliveries (account_id, event_id)`);
    await db.query(`
      COMMENT ON INDEX webhook_deliveries_of_event IS 'The audit asks whether each event has its deliveries.'`);
    await db.query(`
      CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'pending'`);
    await db.query(`
      CREATE INDEX webhook_deliveries_due_of_endpoint
      ON webhook_deliveries (account_id, endpoint_id, next_attempt_at) WHERE status = 'pending'`);
    await db.query(`
      COMMENT ON INDEX webhook_deliveries_due_of_endpoint IS
        'Beside webhook_deliveries_due: finds what is due behind the backlog of another endpoint.'`);
    await db.query(`
      ALTER TABLE webhook_deliveries ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (account_id, id)`);
    await db.query(`
      COMMENT ON CONSTRAINT webhook_deliveries_pkey ON webhook_deliveries IS
        'The id is derived from endpoint, event and, for a resend, its id: planned again, it is the same delivery.'`);
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
      COMMENT ON TABLE webhook_attempts IS
        'One HTTP request of a delivery. Written by the process that sends it, before and after.'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
