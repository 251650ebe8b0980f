import type { MigrationInterface, QueryRunner } from 'typeorm';

export class ProcessorEvents1796083209000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE processor_events (
        processor text NOT NULL,
        id text NOT NULL,
        type text NOT NULL,
        account_id text NOT NULL,
        charge_id text NOT NULL,
        refund_id text,
        state text NOT NULL,
        fact json NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT processor_events_pkey PRIMARY KEY (processor, id),
        CONSTRAINT processor_events_state_is_known CHECK (state IN ('applied', 'waiting', 'parked'))
      )`);
    await db.query(`
      COMMENT ON TABLE processor_events IS
        'A notification from the processor. Written by the webhook that receives it, in the transaction that applies it.'`);
    await db.query(`
      COMMENT ON COLUMN processor_events.charge_id IS
        'No foreign key: a restore may have lost the charge. Such a notification waits.'`);
    await db.query(`
      COMMENT ON CONSTRAINT processor_events_pkey ON processor_events IS
        'Without the account: the id is the processor''s own. A notification that is sent again is found here.'`);
    await db.query(`
      CREATE INDEX processor_events_by_state ON processor_events (state, received_at, id)`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
