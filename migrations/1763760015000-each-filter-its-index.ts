import type { MigrationInterface, QueryRunner } from 'typeorm';

const INDEXES = {
  // In place of `charges_newest_first`, so that a charge writes no more than before: the list without a filter is
  // merged from one for each status.
  charges_by_status: `charges (account_id, status, created_at DESC, id DESC)`,
  charges_of_order: `charges (account_id, order_id, created_at DESC, id DESC) WHERE order_id IS NOT NULL`,
  // Beside `events_newest_first`: no constraint closes the list of types, and a list merged from those that a process
  // knows would hide what a newer one has written.
  events_by_type: `events (account_id, type, created_at DESC, id DESC)`,
  webhook_endpoints_newest_first: `webhook_endpoints (account_id, created_at DESC, id DESC) WHERE deleted_at IS NULL`,
};

/** Every filter of every list is found in an index, in the order of the list: test/operation/list-plans.spec.ts. */
export class EachFilterItsIndex1763760015000 implements MigrationInterface {
  /** CONCURRENTLY, so that charges go on meanwhile. Each statement may be run again after a failure. */
  readonly transaction = false;

  async up(db: QueryRunner): Promise<void> {
    for (const [name, on] of Object.entries(INDEXES)) {
      await db.query(`DROP INDEX CONCURRENTLY IF EXISTS ${name}`); // an attempt that failed leaves an invalid one
      await db.query(`CREATE INDEX CONCURRENTLY ${name} ON ${on}`);
    }
    await db.query(`DROP INDEX CONCURRENTLY IF EXISTS charges_newest_first`);
    await db.query(`DROP INDEX CONCURRENTLY IF EXISTS charges_by_order`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
