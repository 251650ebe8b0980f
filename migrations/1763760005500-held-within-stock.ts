import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is promised is there: else the booking of a charge that has succeeded would take the stock below zero. */
export class HeldWithinStock1763760005500 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      ALTER TABLE products ADD CONSTRAINT products_held_is_within_stock CHECK (held <= on_hand)`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
