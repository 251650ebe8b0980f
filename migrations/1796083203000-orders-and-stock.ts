import type { MigrationInterface, QueryRunner } from 'typeorm';

export class OrdersAndStock1796083203000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE orders (
        account_id text NOT NULL,
        id text NOT NULL,
        status text NOT NULL,
        currency text NOT NULL,
        total bigint NOT NULL,
        items json NOT NULL,
        email text,
        metadata json NOT NULL,
        charge_id text,
        fulfillment_id text,
        version integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT orders_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT orders_status_is_known CHECK (status IN ('open', 'paid', 'canceled')),
        CONSTRAINT orders_total_is_in_range CHECK (total BETWEEN 1 AND 99999999),
        CONSTRAINT orders_paid_has_charge CHECK (status <> 'paid' OR charge_id IS NOT NULL)
      )`);
    await db.query(`
      COMMENT ON TABLE orders IS
        'What a customer wants to buy. Written by the client through the API, then by the charge that pays it.'`);
    await db.query(`
      COMMENT ON COLUMN orders.charge_id IS
        'The charge that holds the open order, or that has paid it.'`);
    await db.query(`
      COMMENT ON COLUMN orders.version IS
        'Counts the changes. The ETag of the order is made from it.'`);
    await db.query(`
      CREATE INDEX orders_newest_first ON orders (account_id, created_at DESC, id DESC)`);
    await db.query(`
      ALTER TABLE orders ADD CONSTRAINT orders_pkey PRIMARY KEY (account_id, id)`);
    await db.query(`
      CREATE TABLE products (
        account_id text NOT NULL,
        sku text NOT NULL,
        name text NOT NULL,
        on_hand bigint NOT NULL,
        held bigint NOT NULL DEFAULT 0,
        version integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT products_pkey PRIMARY KEY (account_id, sku),
        CONSTRAINT products_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT products_stock_is_never_negative CHECK (on_hand >= 0 AND held >= 0)
      )`);
    await db.query(`
      COMMENT ON TABLE products IS
        'A product and its stock. Written by the client through the API; charges and shipments move the stock.'`);
    await db.query(`
      COMMENT ON COLUMN products.held IS
        'The part of on_hand that pending charges and paid orders have reserved.'`);
    await db.query(`
      CREATE TABLE stock_movements (
        account_id text NOT NULL,
        sku text NOT NULL,
        cause text NOT NULL,
        kind text NOT NULL,
        quantity bigint NOT NULL,
        moved_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT stock_movements_pkey PRIMARY KEY (account_id, sku, cause, kind),
        CONSTRAINT stock_movements_product_fkey FOREIGN KEY (account_id, sku) REFERENCES products (account_id, sku),
        CONSTRAINT stock_movements_kind_is_known CHECK (kind IN ('adjust', 'hold', 'release', 'book')),
        CONSTRAINT stock_movements_quantity_has_its_sign CHECK (kind = 'adjust' OR quantity > 0)
      )`);
    await db.query(`
      COMMENT ON TABLE stock_movements IS
        'One change of a stock and its cause. Written in the transaction that changes the product, never updated.'`);
    await db.query(`
      COMMENT ON CONSTRAINT stock_movements_pkey ON stock_movements IS
        'A cause moves a product once in each way, however often it is repeated.'`);
    await db.query(`
      CREATE UNIQUE INDEX stock_movements_hold_ends_once ON stock_movements (account_id, sku, cause)
      WHERE kind IN ('release', 'book')`);
    await db.query(`
      COMMENT ON INDEX stock_movements_hold_ends_once IS
        'The primary key allows one release and one booking of a hold. Together they would end it twice.'`);
    await db.query(`
      CREATE INDEX stock_movements_by_cause ON stock_movements (account_id, cause)`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
