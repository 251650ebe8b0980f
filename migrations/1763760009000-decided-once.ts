import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is decided once is written down, so that the same job run later, on other facts, cannot decide otherwise. */
export class DecidedOnce1763760009000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE sale_cancellations (
        account_id text NOT NULL,
        order_id text NOT NULL,
        charge_id text NOT NULL,
        reason text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        -- An order is shipped, or its sale is canceled: whichever is written first, under the order's lock.
        CONSTRAINT sale_cancellations_pkey PRIMARY KEY (account_id, order_id),
        CONSTRAINT sale_cancellations_order_fkey FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id),
        CONSTRAINT sale_cancellations_charge_fkey FOREIGN KEY (account_id, charge_id)
          REFERENCES charges (account_id, id),
        CONSTRAINT sale_cancellations_reason_is_known CHECK (reason IN ('out_of_stock'))
      )`);
    await db.query(`
      -- The primary key allows one release and one booking of a hold; together they would end it twice.
      CREATE UNIQUE INDEX stock_movements_hold_ends_once ON stock_movements (account_id, sku, cause)
      WHERE kind IN ('release', 'book')`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
