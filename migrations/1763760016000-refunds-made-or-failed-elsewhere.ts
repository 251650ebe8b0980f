import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Refunds that were made at the processor's own desk, and refunds that fail after they had succeeded. */
export class RefundsMadeOrFailedElsewhere1763760016000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    // When a refund that had succeeded failed. `settled_at` stays its first end.
    await db.query(`ALTER TABLE refunds ADD COLUMN reversed_at timestamptz`);
    await db.query(`
      ALTER TABLE refunds ADD CONSTRAINT refunds_only_failed_is_reversed CHECK (
        reversed_at IS NULL OR (status = 'failed' AND processor_reference IS NOT NULL))`);
    await db.query(`
      -- One refund at the processor is one row, by whatever path it is told, and whatever its metadata say by then.
      CREATE UNIQUE INDEX refunds_once_per_processor_reference ON refunds (account_id, processor_reference)
      WHERE processor_reference IS NOT NULL`);
    await db.query(`
      -- A refund made at the processor's desk names no charge, only its payment.
      CREATE INDEX charges_by_processor_reference ON charges (processor_reference)
      WHERE processor_reference IS NOT NULL`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
