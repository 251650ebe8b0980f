import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Effects1796083207000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
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
      COMMENT ON TABLE sent_emails IS
        'A receipt, and the lease of the job that sends it. Written by that job.'`);
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
        CONSTRAINT fulfillments_order_key UNIQUE (account_id, order_id),
        CONSTRAINT fulfillments_order_fkey FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id),
        CONSTRAINT fulfillments_step_is_known CHECK (step IN ('picking', 'labelled', 'handed_over')),
        CONSTRAINT fulfillments_labelled_has_tracking_number CHECK (
          (step = 'picking') = (tracking_number IS NULL))
      )`);
    await db.query(`
      COMMENT ON TABLE fulfillments IS
        'The shipment of a paid order. Written by the jobs of its steps.'`);
    await db.query(`
      COMMENT ON CONSTRAINT fulfillments_order_key ON fulfillments IS
        'One shipment for an order, however often the job runs.'`);
    await db.query(`
      ALTER TABLE fulfillments ADD CONSTRAINT fulfillments_pkey PRIMARY KEY (account_id, id)`);
    await db.query(`
      CREATE TABLE sale_cancellations (
        account_id text NOT NULL,
        order_id text NOT NULL,
        charge_id text NOT NULL,
        reason text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT sale_cancellations_pkey PRIMARY KEY (account_id, order_id),
        CONSTRAINT sale_cancellations_order_fkey FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id),
        CONSTRAINT sale_cancellations_charge_fkey FOREIGN KEY (account_id, charge_id)
          REFERENCES charges (account_id, id),
        CONSTRAINT sale_cancellations_reason_is_known CHECK (reason IN ('out_of_stock'))
      )`);
    await db.query(`
      COMMENT ON TABLE sale_cancellations IS
        'The decision to refund and cancel a paid order that cannot be shipped. '
        'Written once by the job that found it out, so that no later run decides otherwise.'`);
    await db.query(`
      COMMENT ON CONSTRAINT sale_cancellations_pkey ON sale_cancellations IS
        'An order is shipped or its sale is canceled. The first decision counts; the lock of the order protects it.'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
