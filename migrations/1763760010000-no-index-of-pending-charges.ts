import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is unfinished is found by its record. Nobody reads this index, and each charge pays for it. */
export class NoIndexOfPendingCharges1763760010000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`DROP INDEX charges_pending`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
