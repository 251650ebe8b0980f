import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What waits is read piece by piece, and what is too old is found: one index for each state, oldest first. */
export class NotificationsByState1763760014000 implements MigrationInterface {
  /** CONCURRENTLY, so that notifications are taken meanwhile. Each statement may be run again after a failure. */
  readonly transaction = false;

  async up(db: QueryRunner): Promise<void> {
    await db.query(`DROP INDEX CONCURRENTLY IF EXISTS processor_events_by_state`);
    await db.query(`
      CREATE INDEX CONCURRENTLY processor_events_by_state ON processor_events (state, received_at, id)`);
    await db.query(`DROP INDEX CONCURRENTLY IF EXISTS processor_events_waiting`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
