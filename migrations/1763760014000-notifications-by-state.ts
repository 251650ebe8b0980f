import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dropIndex } from './concurrent-index.js';

/** What waits is read piece by piece, and what is too old is found: one index for each state, oldest first. */
export class NotificationsByState1763760014000 implements MigrationInterface {
  /** CONCURRENTLY, so that notifications are taken meanwhile. Each statement may be run again after a failure. */
  readonly transaction = false;

  async up(db: QueryRunner): Promise<void> {
    await createIndex(db, {
      table: 'processor_events',
      name: 'processor_events_by_state',
      definition: '(state, received_at, id)',
    });
    await dropIndex(db, 'processor_events', 'processor_events_waiting');
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
