import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What happens after the answer has left: events, e-mails, shipments. Each table's key names the cause. */
export class EventsAndEffects1763760006000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE events (
        account_id text NOT NULL,
        id text NOT NULL,
        type text NOT NULL,
        cause text NOT NULL,
        data json NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        -- Derived from account, type and cause: told twice, it is one event.
        CONSTRAINT events_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT events_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id)
      )`);
    await db.query(
      `CREATE INDEX events_newest_first ON events (account_id, created_at DESC, id DESC)`,
    );
    await db.query(`
      CREATE TABLE event_resends (
        account_id text NOT NULL,
        id text NOT NULL,
        event_id text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT event_resends_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT event_resends_event_fkey FOREIGN KEY (account_id, event_id) REFERENCES events (account_id, id)
      )`);
    await db.query(`
      CREATE TABLE sent_emails (
        account_id text NOT NULL,
        message_id text NOT NULL,
        event_id text NOT NULL,
        recipient text NOT NULL,
        epoch integer NOT NULL,
        lease_expires_at timestamptz,
        sent_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT sent_emails_pkey PRIMARY KEY (account_id, message_id),
        CONSTRAINT sent_emails_event_fkey FOREIGN KEY (account_id, event_id) REFERENCES events (account_id, id)
      )`);
    await db.query(`
      CREATE TABLE fulfillments (
        account_id text NOT NULL,
        id text NOT NULL,
        order_id text NOT NULL,
        charge_id text NOT NULL,
        step text NOT NULL,
        tracking_number text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT fulfillments_pkey PRIMARY KEY (account_id, id),
        -- One shipment for an order, however often a worker is told to ship it.
        CONSTRAINT fulfillments_order_key UNIQUE (account_id, order_id),
        CONSTRAINT fulfillments_order_fkey FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id),
        CONSTRAINT fulfillments_step_is_known CHECK (step IN ('picking', 'labelled', 'handed_over')),
        CONSTRAINT fulfillments_labelled_has_tracking_number CHECK (
          (step = 'picking') = (tracking_number IS NULL))
      )`);
    await db.query(`ALTER TABLE orders ADD COLUMN fulfillment_id text`);
    // The saga of a sale that cannot be delivered cancels a paid order: its charge stays, refunded.
    await db.query(`ALTER TABLE orders DROP CONSTRAINT orders_canceled_has_no_charge`);
    await db.query(`ALTER TABLE refunds ADD COLUMN cause text`);
    await db.query(`
      -- A refund of ours names its cause here, never in the clients' key space: one refund for a cause.
      CREATE UNIQUE INDEX refunds_once_per_cause ON refunds (account_id, cause) WHERE cause IS NOT NULL`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
