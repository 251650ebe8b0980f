import type { MigrationInterface, QueryRunner } from 'typeorm';

export class OrdersStockRefunds1763760005000 implements MigrationInterface {
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
        version integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT orders_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT orders_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT orders_status_is_known CHECK (status IN ('open', 'paid', 'canceled')),
        CONSTRAINT orders_total_is_in_range CHECK (total BETWEEN 1 AND 99999999),
        CONSTRAINT orders_paid_has_charge CHECK (status <> 'paid' OR charge_id IS NOT NULL),
        CONSTRAINT orders_canceled_has_no_charge CHECK (status <> 'canceled' OR charge_id IS NULL)
      )`);
    await db.query(
      `CREATE INDEX orders_newest_first ON orders (account_id, created_at DESC, id DESC)`,
    );
    await db.query(`
      ALTER TABLE charges ADD CONSTRAINT charges_order_fkey
      FOREIGN KEY (account_id, order_id) REFERENCES orders (account_id, id)`);
    await db.query(`
      -- The second guard: whatever the key, the client or the instance, one live charge for an order.
      CREATE UNIQUE INDEX charges_one_live_per_order ON charges (account_id, order_id)
      WHERE status IN ('pending', 'succeeded')`);
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
      CREATE TABLE stock_movements (
        account_id text NOT NULL,
        sku text NOT NULL,
        cause text NOT NULL,
        kind text NOT NULL,
        quantity bigint NOT NULL,
        moved_at timestamptz NOT NULL DEFAULT now(),
        -- A cause moves a product once in each way, however often it is told.
        CONSTRAINT stock_movements_pkey PRIMARY KEY (account_id, sku, cause, kind),
        CONSTRAINT stock_movements_product_fkey FOREIGN KEY (account_id, sku) REFERENCES products (account_id, sku),
        CONSTRAINT stock_movements_kind_is_known CHECK (kind IN ('adjust', 'hold', 'release', 'book')),
        CONSTRAINT stock_movements_quantity_has_its_sign CHECK (kind = 'adjust' OR quantity > 0)
      )`);
    await db.query(`CREATE INDEX stock_movements_by_cause ON stock_movements (account_id, cause)`);
    await db.query(`
      CREATE TABLE refunds (
        account_id text NOT NULL,
        id text NOT NULL,
        charge_id text NOT NULL,
        status text NOT NULL,
        amount bigint NOT NULL,
        currency text NOT NULL,
        reason text,
        failure_code text,
        processor text NOT NULL,
        processor_parameters text NOT NULL,
        processor_reference text,
        created_at timestamptz NOT NULL DEFAULT now(),
        settled_at timestamptz,
        CONSTRAINT refunds_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT refunds_charge_fkey FOREIGN KEY (account_id, charge_id) REFERENCES charges (account_id, id),
        CONSTRAINT refunds_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
        CONSTRAINT refunds_amount_is_in_range CHECK (amount BETWEEN 1 AND 99999999),
        CONSTRAINT refunds_succeeded_has_processor_reference CHECK (
          status <> 'succeeded' OR processor_reference IS NOT NULL),
        CONSTRAINT refunds_failed_has_failure_code CHECK ((status = 'failed') = (failure_code IS NOT NULL)),
        CONSTRAINT refunds_pending_is_not_settled CHECK ((status = 'pending') = (settled_at IS NULL))
      )`);
    await db.query(`
      CREATE INDEX refunds_of_charge ON refunds (account_id, charge_id, created_at DESC, id DESC)`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
