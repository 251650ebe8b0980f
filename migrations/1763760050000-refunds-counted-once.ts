import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A refund that was booked as made at the processor's desk may turn out to be one of ours: then it fails, and the row of
 * ours takes over its reference.
 */
export class RefundsCountedOnce1763760050000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      ALTER TABLE refunds
        DROP CONSTRAINT refunds_only_failed_is_reversed,
        -- NOT VALID: the old rule was narrower, so no row needs a check, and the lock stays short.
        ADD CONSTRAINT refunds_only_failed_is_reversed CHECK (reversed_at IS NULL OR status = 'failed') NOT VALID`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
