import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Refunds that were made at the processor's own desk, and refunds that fail after they had succeeded. */
export class RefundsMadeOrFailedElsewhere1763760016000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    // NOT VALID keeps the lock short; the next migration checks the rows and builds the indexes.
    await db.query(`
      ALTER TABLE refunds
        -- When a refund that had succeeded failed. \`settled_at\` stays its first end.
        ADD COLUMN reversed_at timestamptz,
        ADD CONSTRAINT refunds_only_failed_is_reversed CHECK (
          reversed_at IS NULL OR (status = 'failed' AND processor_reference IS NOT NULL)) NOT VALID`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
