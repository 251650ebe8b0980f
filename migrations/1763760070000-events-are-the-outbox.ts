import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex } from './concurrent-index.js';

/** The event is the outbox: the relay finds it by its missing `relayed_at`. */
export class EventsAreTheOutbox1763760070000 implements MigrationInterface {
  /** Each statement may be run again after a failure. */
  readonly transaction = false;

  async up(db: QueryRunner): Promise<void> {
    // Events that exist have their jobs already. A constant default fills them in without rewriting the table.
    await db.query(
      `ALTER TABLE events ADD COLUMN IF NOT EXISTS relayed_at timestamptz DEFAULT now()`,
    );
    await db.query(`ALTER TABLE events ALTER COLUMN relayed_at DROP DEFAULT`);
    await createIndex(db, {
      table: 'events',
      name: 'events_not_relayed',
      definition: '(created_at) WHERE relayed_at IS NULL',
    });
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
