import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Part of the engine (src/idempotency). Take this file along when you lift the engine out. */
export class RecordsThatNeedAttention1763760018000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      ALTER TABLE idempotency_records
        -- Attempts of the sweep that have begun and have not shown that the fault was not ours.
        ADD COLUMN failures integer NOT NULL DEFAULT 0,
        ADD COLUMN needs_attention boolean NOT NULL DEFAULT false,
        -- Which statuses are final is an option of the engine (isFinal).
        DROP CONSTRAINT idempotency_records_stores_outcomes_only,
        -- NOT VALID: the old rule was narrower, so no row needs a check, and the lock stays short.
        ADD CONSTRAINT idempotency_records_stores_http_statuses
          CHECK (response_status BETWEEN 200 AND 599) NOT VALID`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
