import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Events1796083206000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE events (
        account_id text NOT NULL,
        id text NOT NULL,
        type text NOT NULL,
        cause text NOT NULL,
        data json NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        relayed_at timestamptz,
        CONSTRAINT events_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id)
      )`);
    await db.query(`
      COMMENT ON TABLE events IS
        'What has happened, written in the transaction that made it so: the outbox. '
        'The relay turns it into jobs and deliveries, and sets relayed_at.'`);
    await db.query(`
      CREATE INDEX events_newest_first ON events (account_id, created_at DESC, id DESC)`);
    await db.query(`
      CREATE INDEX events_by_type ON events (account_id, type, created_at DESC, id DESC)`);
    await db.query(`
      COMMENT ON INDEX events_by_type IS
        'Beside events_newest_first: no constraint closes the list of types, so no process could merge them all.'`);
    await db.query(`
      CREATE INDEX events_not_relayed ON events (account_id, created_at) WHERE relayed_at IS NULL`);
    await db.query(`
      ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY (account_id, id)`);
    await db.query(`
      COMMENT ON CONSTRAINT events_pkey ON events IS
        'The id is derived from account, type and cause: recorded again, it is the same event.'`);
    await db.query(`
      CREATE TABLE event_resends (
        account_id text NOT NULL,
        id text NOT NULL,
        event_id text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT event_resends_pkey PRIMARY KEY (account_id, id),
        CONSTRAINT event_resends_event_fkey FOREIGN KEY (account_id, event_id) REFERENCES events (account_id, id)
      )`);
    await db.query(`
      COMMENT ON TABLE event_resends IS
        'A request to deliver an event again. Written by the client through the API.'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
