import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex } from './concurrent-index.js';

/**
 * One schedule for a delivery, in its row: `next_attempt_at` is when it is due, and while an attempt is under way the end
 * of its lease. The queue's jobs for deliveries are no longer needed.
 *
 * Beside processes of the release before: their API still plans deliveries (the default is for that), their workers'
 * attempts are refused by the CHECK, and those of the new workers deliver. `lease_expires_at` stays for them, unused.
 */
export class DeliveriesAreTheirQueue1763760090000 implements MigrationInterface {
  /** Each statement may be run again after a failure, and none holds the table for longer than it takes to write. */
  readonly transaction = false;

  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      ALTER TABLE webhook_deliveries
        ALTER COLUMN next_attempt_at SET DEFAULT now(),
        DROP CONSTRAINT IF EXISTS webhook_deliveries_pending_has_its_time,
        ADD CONSTRAINT webhook_deliveries_pending_has_its_time
          CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL)) NOT VALID`);
    await db.query(`
      UPDATE webhook_deliveries SET next_attempt_at = COALESCE(lease_expires_at, now())
      WHERE status = 'pending' AND next_attempt_at IS NULL`);
    await db.query(`
      UPDATE webhook_deliveries SET next_attempt_at = NULL
      WHERE status <> 'pending' AND next_attempt_at IS NOT NULL`);
    await db.query(
      `ALTER TABLE webhook_deliveries VALIDATE CONSTRAINT webhook_deliveries_pending_has_its_time`,
    );
    await createIndex(db, {
      table: 'webhook_deliveries',
      name: 'webhook_deliveries_due',
      definition: "(next_attempt_at) WHERE status = 'pending'",
    });
    await db.query(`
      DO $$ BEGIN
        IF to_regclass('graphile_worker._private_jobs') IS NOT NULL THEN
          DELETE FROM graphile_worker._private_jobs WHERE task_id = (
            SELECT id FROM graphile_worker._private_tasks WHERE identifier = 'deliver-webhook');
        END IF;
      END $$`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
