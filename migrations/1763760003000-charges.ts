import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Charges, and the lab's naive twin without any guard. */
export class Charges1763760003000 implements MigrationInterface {
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
        metadata json NOT NULL,
        failure_code text,
        decline_code text,
        processor text NOT NULL,
        processor_parameters text NOT NULL,
        processor_reference text,
        created_at timestamptz NOT NULL DEFAULT now(),
        settled_at timestamptz,
        -- The id is derived from (account, operation, key): the guard that never expires.
        CONSTRAINT charges_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT charges_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT charges_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
        CONSTRAINT charges_amount_is_in_range CHECK (amount BETWEEN 1 AND 99999999),
        CONSTRAINT charges_refunded_is_within_amount CHECK (amount_refunded BETWEEN 0 AND amount),
        CONSTRAINT charges_only_succeeded_is_refunded CHECK (amount_refunded = 0 OR status = 'succeeded'),
        CONSTRAINT charges_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
        CONSTRAINT charges_succeeded_has_processor_reference CHECK (
          status <> 'succeeded' OR processor_reference IS NOT NULL),
        CONSTRAINT charges_failed_has_failure_code CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
        CONSTRAINT charges_pending_is_not_settled CHECK ((status = 'pending') = (settled_at IS NULL))
      )`);
    await db.query(
      `CREATE INDEX charges_newest_first ON charges (account_id, created_at DESC, id DESC)`,
    );
    await db.query(`
      CREATE INDEX charges_by_order ON charges (account_id, order_id) WHERE order_id IS NOT NULL`);
    await db.query(`CREATE INDEX charges_pending ON charges (created_at) WHERE status = 'pending'`);
    await db.query(`
      CREATE TABLE naive_charges (
        account_id text NOT NULL,
        id text NOT NULL,
        amount bigint NOT NULL,
        currency text NOT NULL,
        payment_method text NOT NULL,
        processor_reference text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT naive_charges_pkey PRIMARY KEY (account_id, id)
      )`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
