import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * One schedule for a delivery, in its row: `next_attempt_at` is when it is due, and while an attempt is under way the end
 * of its lease. The queue's jobs for deliveries are no longer needed.
 */
export class DeliveriesAreTheirQueue1763760090000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      UPDATE webhook_deliveries SET next_attempt_at = COALESCE(lease_expires_at, next_attempt_at, now())
      WHERE status = 'pending'`);
    await db.query(
      `UPDATE webhook_deliveries SET next_attempt_at = NULL
       WHERE status <> 'pending' AND next_attempt_at IS NOT NULL`,
    );
    await db.query(`
      ALTER TABLE webhook_deliveries
        DROP COLUMN lease_expires_at,
        ADD CONSTRAINT webhook_deliveries_pending_has_its_time
          CHECK ((status = 'pending') = (next_attempt_at IS NOT NULL))`);
    await db.query(`
      CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'pending'`);
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
