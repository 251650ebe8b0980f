import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Reconciliation1796083210000 implements MigrationInterface {
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
        resolved_at timestamptz,
        resolution text,
        CONSTRAINT parked_payments_pkey PRIMARY KEY (account_id, processor_reference),
        CONSTRAINT parked_payments_resolved_says_how CHECK ((resolved_at IS NULL) = (resolution IS NULL))
      )`);
    await db.query(`
      COMMENT ON TABLE parked_payments IS
        'A payment or refund at the processor that does not fit our rows. Written by the transaction that finds it; '
        'a person resolves it with "npm run jobs". Never deleted.'`);
    await db.query(`
      COMMENT ON COLUMN parked_payments.processor_reference IS
        'The id of the payment or the refund at the processor.'`);
    await db.query(`
      COMMENT ON COLUMN parked_payments.resolution IS
        'What the person has done about it.'`);
    await db.query(`
      CREATE TABLE reconciliation_runs (
        id text NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        span_from timestamptz NOT NULL,
        span_to timestamptz NOT NULL,
        CONSTRAINT reconciliation_runs_pkey PRIMARY KEY (id)
      )`);
    await db.query(`
      COMMENT ON TABLE reconciliation_runs IS
        'One run of "npm run reconcile", which writes it.'`);
    await db.query(`
      COMMENT ON COLUMN reconciliation_runs.ended_at IS
        'Null while the run goes on, and after it was killed.'`);
    await db.query(`
      CREATE TABLE reconciliation_differences (
        run_id text NOT NULL,
        number bigint GENERATED ALWAYS AS IDENTITY,
        what text NOT NULL,
        account_id text NOT NULL,
        object_id text NOT NULL,
        detail text NOT NULL,
        repaired boolean NOT NULL,
        found_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT reconciliation_differences_pkey PRIMARY KEY (run_id, number),
        CONSTRAINT reconciliation_differences_run_fkey FOREIGN KEY (run_id) REFERENCES reconciliation_runs (id)
      )`);
    await db.query(`
      COMMENT ON TABLE reconciliation_differences IS
        'A difference between our rows and the ledger of the processor. Written by the run that finds it.'`);
    await db.query(`
      COMMENT ON COLUMN reconciliation_differences.repaired IS
        'True: written in the transaction that repaired the difference.'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
