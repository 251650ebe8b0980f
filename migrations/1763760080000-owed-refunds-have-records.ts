import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Refunds that we owe run through the engine: those that are pending get the records by which it continues them. */
export class OwedRefundsHaveRecords1763760080000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    // As src/refunds/compensation.ts writes them. In doubt: what an attempt before this did outside is not known.
    await db.query(`
      INSERT INTO idempotency_records (account_id, key, operation, resource_id, fingerprint, members, request_id,
        state, epoch, attempts, in_doubt, first_seen_at)
      SELECT account_id, '§' || cause, 'compensation', id, '', '{}', id, 'in_progress', 1, 1, true, created_at
      FROM refunds WHERE status = 'pending' AND cause IS NOT NULL
      ON CONFLICT DO NOTHING`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
