import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What `npm run reconcile` writes: rows rebuilt from the processor's ledger, and what each run has found. */
export class Reconciliation1763760008000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    // A rebuilt row has no idempotency record: its answer is lost, its id is not.
    await db.query(`ALTER TABLE charges ADD COLUMN rebuilt_at timestamptz`);
    await db.query(`ALTER TABLE refunds ADD COLUMN rebuilt_at timestamptz`);
    // The order that a rebuilt charge has paid, while that order is gone or cannot take it.
    await db.query(`ALTER TABLE charges ADD COLUMN lost_order_id text`);
    await db.query(`
      ALTER TABLE charges ADD CONSTRAINT charges_only_rebuilt_has_lost_order CHECK (
        lost_order_id IS NULL OR (rebuilt_at IS NOT NULL AND order_id IS NULL))`);
    await db.query(`DROP INDEX charges_one_live_per_order`);
    await db.query(`
      -- The second guard: whatever the key, the client or the instance, one live charge for an order; also for one
      -- whose payment was found in the processor's ledger only.
      CREATE UNIQUE INDEX charges_one_live_per_order ON charges (account_id, (COALESCE(order_id, lost_order_id)))
      WHERE status IN ('pending', 'succeeded')`);
    await db.query(`
      CREATE TABLE reconciliation_runs (
        id text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(),
        -- Null: it runs, or it was killed.
        ended_at timestamptz,
        span_from timestamptz NOT NULL,
        span_to timestamptz NOT NULL,
        CONSTRAINT reconciliation_runs_pkey PRIMARY KEY (id)
      )`);
    await db.query(`
      CREATE TABLE reconciliation_differences (
        run_id text NOT NULL,
        number bigint GENERATED ALWAYS AS IDENTITY,
        what text NOT NULL,
        account_id text NOT NULL,
        object_id text NOT NULL,
        detail text NOT NULL,
        -- Written in the transaction that mended it, so that no mending goes untold.
        mended boolean NOT NULL,
        found_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT reconciliation_differences_pkey PRIMARY KEY (run_id, number),
        CONSTRAINT reconciliation_differences_run_fkey FOREIGN KEY (run_id) REFERENCES reconciliation_runs (id)
      )`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
