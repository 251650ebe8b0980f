import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dropIndex } from '../../../migrations/concurrent-index.js';
import { migrations } from '../../../migrations/index.js';
import { migrate, type MigrateOptions } from '../../../src/database/migrate.js';

/** What a later release may do to tables that have grown. It holds no lock that a request waits for. */
class LaterIndexes1900000001000 implements MigrationInterface {
  readonly transaction = false;

  async up(db: QueryRunner): Promise<void> {
    await db.query('ALTER TABLE refunds VALIDATE CONSTRAINT refunds_only_failed_is_reversed');
    const indexes = [
      { table: 'processor_events', name: 'later_first', definition: '(received_at)' },
      { table: 'charges', name: 'later_second', definition: '(account_id, currency)' },
      { table: 'charges', name: 'later_third', unique: true, definition: '(account_id, id)' },
    ];
    for (const index of indexes) await createIndex(db, index);
    await dropIndex(db, 'charges', 'outdated');
  }

  async down(): Promise<void> {}
}

/** Needs an exclusive lock on the table, for a moment. */
class LaterColumn1900000002000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query('ALTER TABLE refunds ADD COLUMN later boolean');
  }

  async down(): Promise<void> {}
}

export function migrateFurther(databaseUrl: string, options: MigrateOptions = {}): Promise<void> {
  return migrate(databaseUrl, {
    ...options,
    migrations: [...migrations, LaterIndexes1900000001000, LaterColumn1900000002000],
  });
}
