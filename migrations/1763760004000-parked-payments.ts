import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Money that the processor took and no charge accounts for: for a person to look at, never dropped. */
export class ParkedPayments1763760004000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE parked_payments (
        account_id text NOT NULL,
        processor_reference text NOT NULL,
        charge_id text NOT NULL,
        amount bigint NOT NULL,
        currency text NOT NULL,
        reason text NOT NULL,
        parked_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT parked_payments_pkey PRIMARY KEY (account_id, processor_reference)
      )`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
