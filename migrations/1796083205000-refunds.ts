import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Refunds1796083205000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE refunds (
        account_id text NOT NULL,
        id text NOT NULL,
        charge_id text NOT NULL,
        status text NOT NULL,
        amount bigint NOT NULL,
        currency text NOT NULL,
        reason text,
        cause text,
        failure_code text,
        processor text NOT NULL,
        processor_parameters text NOT NULL,
        processor_reference text,
        created_at timestamptz NOT NULL DEFAULT now(),
        settled_at timestamptz,
        reversed_at timestamptz,
        rebuilt_at timestamptz,
        CONSTRAINT refunds_charge_fkey FOREIGN KEY (account_id, charge_id) REFERENCES charges (account_id, id),
        CONSTRAINT refunds_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
        CONSTRAINT refunds_amount_is_in_range CHECK (amount BETWEEN 1 AND 99999999),
        CONSTRAINT refunds_succeeded_has_processor_reference CHECK (
          status <> 'succeeded' OR processor_reference IS NOT NULL),
        CONSTRAINT refunds_failed_has_failure_code CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
        CONSTRAINT refunds_pending_is_not_settled CHECK ((status = 'pending') = (settled_at IS NULL)),
        CONSTRAINT refunds_only_failed_is_reversed CHECK (reversed_at IS NULL OR status = 'failed')
      )`);
    await db.query(`
      COMMENT ON TABLE refunds IS
        'Money that goes back for a charge. Reserve and settle write it, for a client or for a canceled sale; '
        'a notification or "npm run reconcile" writes one that was made at the processor.'`);
    await db.query(`
      COMMENT ON COLUMN refunds.cause IS
        'Why we owe the refund; null if a client asked for it. Repeats are named cause#2, cause#3 and so on.'`);
    await db.query(`
      COMMENT ON COLUMN refunds.reversed_at IS
        'When a refund that had succeeded failed. Its settled_at stays the time of its first end.'`);
    await db.query(`
      COMMENT ON COLUMN refunds.rebuilt_at IS
        'When the row was rebuilt from the ledger of the processor. It has no idempotency record.'`);
    await db.query(`
      CREATE INDEX refunds_of_charge ON refunds (account_id, charge_id, created_at DESC, id DESC)`);
    await db.query(`
      CREATE UNIQUE INDEX refunds_one_live_per_cause ON refunds (account_id, split_part(cause, '#', 1))
      WHERE cause IS NOT NULL AND status <> 'failed'`);
    await db.query(`
      COMMENT ON INDEX refunds_one_live_per_cause IS
        'A refund that we owe is made once. After one has failed, another may follow.'`);
    await db.query(`
      CREATE UNIQUE INDEX refunds_once_per_processor_reference ON refunds (account_id, processor_reference)
      WHERE processor_reference IS NOT NULL`);
    await db.query(`
      COMMENT ON INDEX refunds_once_per_processor_reference IS
        'One refund at the processor is one row, whichever path reports it.'`);
    await db.query(`
      ALTER TABLE refunds ADD CONSTRAINT refunds_pkey PRIMARY KEY (account_id, id)`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
