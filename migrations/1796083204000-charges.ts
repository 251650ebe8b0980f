import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Charges1796083204000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE charges (
        account_id text NOT NULL,
        id text NOT NULL,
        status text NOT NULL,
        amount bigint NOT NULL,
        amount_refunded bigint NOT NULL DEFAULT 0,
        currency text NOT NULL,
        payment_method text NOT NULL,
        description text,
        receipt_email text,
        order_id text,
        lost_order_id text,
        metadata json NOT NULL,
        failure_code text,
        decline_code text,
        processor text NOT NULL,
        processor_parameters text NOT NULL,
        processor_reference text,
        created_at timestamptz NOT NULL DEFAULT now(),
        settled_at timestamptz,
        rebuilt_at timestamptz,
        CONSTRAINT charges_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT charges_order_fkey FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id),
        CONSTRAINT charges_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
        CONSTRAINT charges_amount_is_in_range CHECK (amount BETWEEN 1 AND 99999999),
        CONSTRAINT charges_refunded_is_within_amount CHECK (amount_refunded BETWEEN 0 AND amount),
        CONSTRAINT charges_only_succeeded_is_refunded CHECK (amount_refunded = 0 OR status = 'succeeded'),
        CONSTRAINT charges_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
        CONSTRAINT charges_succeeded_has_processor_reference CHECK (
          status <> 'succeeded' OR processor_reference IS NOT NULL),
        CONSTRAINT charges_failed_has_failure_code CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
        CONSTRAINT charges_pending_is_not_settled CHECK ((status = 'pending') = (settled_at IS NULL)),
        CONSTRAINT charges_only_rebuilt_has_lost_order CHECK (
          lost_order_id IS NULL OR (rebuilt_at IS NOT NULL AND order_id IS NULL))
      )`);
    await db.query(`
      COMMENT ON TABLE charges IS
        'A purchase to be paid. Reserve writes it before the processor is called; settle writes how it ended.'`);
    await db.query(`
      COMMENT ON COLUMN charges.amount IS
        'In the minor unit of the currency, as everywhere.'`);
    await db.query(`
      COMMENT ON COLUMN charges.lost_order_id IS
        'The order that a rebuilt charge has paid, while that order is gone or cannot take it.'`);
    await db.query(`
      COMMENT ON COLUMN charges.processor_parameters IS
        'The exact request to the processor, as JSON text. Every attempt sends this.'`);
    await db.query(`
      COMMENT ON COLUMN charges.processor_reference IS
        'The id of the payment at the processor.'`);
    await db.query(`
      COMMENT ON COLUMN charges.rebuilt_at IS
        'When "npm run reconcile" rebuilt the row from the ledger of the processor. It has no idempotency record.'`);
    await db.query(`
      CREATE UNIQUE INDEX charges_one_live_per_order ON charges (account_id, (COALESCE(order_id, lost_order_id)))
      WHERE status IN ('pending', 'succeeded') AND COALESCE(order_id, lost_order_id) IS NOT NULL`);
    await db.query(`
      COMMENT ON INDEX charges_one_live_per_order IS
        'The second guard: an order has one live charge, whatever the key, the client or the instance.'`);
    await db.query(`
      CREATE INDEX charges_by_status ON charges (account_id, status, created_at DESC, id DESC)`);
    await db.query(`
      COMMENT ON INDEX charges_by_status IS
        'The list without a filter merges one scan for each status, so that a charge writes one index less.'`);
    await db.query(`
      CREATE INDEX charges_of_order ON charges (account_id, order_id, created_at DESC, id DESC)
      WHERE order_id IS NOT NULL`);
    await db.query(`
      CREATE INDEX charges_by_processor_reference ON charges (processor_reference)
      WHERE processor_reference IS NOT NULL`);
    await db.query(`
      COMMENT ON INDEX charges_by_processor_reference IS
        'A refund that was made in the dashboard of the processor names its payment, not the charge.'`);
    await db.query(`
      ALTER TABLE charges ADD CONSTRAINT charges_pkey PRIMARY KEY (account_id, id)`);
    await db.query(`
      COMMENT ON CONSTRAINT charges_pkey ON charges IS
        'The id is derived from account, operation and key. This guard never expires.'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
