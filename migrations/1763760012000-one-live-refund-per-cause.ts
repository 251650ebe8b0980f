import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A refund that we owe and the processor has refused may be followed by another one: `cause`, `cause#2` and so on. */
export class OneLiveRefundPerCause1763760012000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      -- Two names cannot be alike either: the id, the primary key, is derived from the name.
      CREATE UNIQUE INDEX refunds_one_live_per_cause ON refunds (account_id, split_part(cause, '#', 1))
      WHERE cause IS NOT NULL AND status <> 'failed'`);
    await db.query(`DROP INDEX refunds_once_per_cause`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
