import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex, dropIndex } from './concurrent-index.js';

const INDEXES = [
  // In place of `charges_newest_first`, so that a charge writes no more than before: the list without a filter is
  // merged from one for each status.
  {
    table: 'charges',
    name: 'charges_by_status',
    definition: '(account_id, status, created_at DESC, id DESC)',
  },
  {
    table: 'charges',
    name: 'charges_of_order',
    definition: '(account_id, order_id, created_at DESC, id DESC) WHERE order_id IS NOT NULL',
  },
  // Beside `events_newest_first`: no constraint closes the list of types, and a list merged from those that a process
  // knows would hide what a newer one has written.
  {
    table: 'events',
    name: 'events_by_type',
    definition: '(account_id, type, created_at DESC, id DESC)',
  },
  {
    table: 'webhook_endpoints',
    name: 'webhook_endpoints_newest_first',
    definition: '(account_id, created_at DESC, id DESC) WHERE deleted_at IS NULL',
  },
];

/** Every filter of every list is found in an index, in the order of the list: test/white-box/operation/list-plans.spec.ts. */
export class EachFilterItsIndex1763760015000 implements MigrationInterface {
  /** CONCURRENTLY, so that charges go on meanwhile. Each statement may be run again after a failure. */
  readonly transaction = false;

  async up(db: QueryRunner): Promise<void> {
    for (const index of INDEXES) await createIndex(db, index);
    await dropIndex(db, 'charges', 'charges_newest_first');
    await dropIndex(db, 'charges', 'charges_by_order');
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
