import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A person closes a parked payment. Its row stays: `new_key` and the audit depend on it. */
export class ParkedPaymentsResolved1763760060000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      ALTER TABLE parked_payments
        ADD COLUMN resolved_at timestamptz,
        -- What the person has done about it.
        ADD COLUMN resolution text,
        -- NOT VALID: no row has either yet, so no row needs a check, and the lock stays short.
        ADD CONSTRAINT parked_payments_resolved_says_how
          CHECK ((resolved_at IS NULL) = (resolution IS NULL)) NOT VALID`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
