import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What `npm run reconcile` writes: rows rebuilt from the processor's ledger, and what each run has found. */
export class Reconciliation1763760008000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    // A rebuilt row has no idempotency record: its answer is lost, its id is not.
    await db.query(`ALTER TABLE charges ADD COLUMN rebuilt_at timestamptz`);
    await db.query(`ALTER TABLE refunds ADD COLUMN rebuilt_at timestamptz`);
    await db.query(`
      CREATE TABLE reconciliation_runs (
        id text NOT NULL,
        ended_at timestamptz NOT NULL DEFAULT now(),
        span_from timestamptz NOT NULL,
        span_to timestamptz NOT NULL,
        payments bigint NOT NULL,
        refunds bigint NOT NULL,
        differences json NOT NULL,
        CONSTRAINT reconciliation_runs_pkey PRIMARY KEY (id)
      )`);
    await db.query(
      `CREATE INDEX reconciliation_runs_newest_first ON reconciliation_runs (ended_at DESC)`,
    );
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
