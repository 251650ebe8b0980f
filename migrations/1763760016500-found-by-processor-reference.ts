import type { MigrationInterface, QueryRunner } from 'typeorm';
import { createIndex } from './concurrent-index.js';

/** What the migration before begins, without its lock: requests go on while the rows are read. */
export class FoundByProcessorReference1763760016500 implements MigrationInterface {
  /** Each statement may be run again after a failure, and where the migration before has done it all. */
  readonly transaction = false;

  async up(db: QueryRunner): Promise<void> {
    await db.query(`ALTER TABLE refunds VALIDATE CONSTRAINT refunds_only_failed_is_reversed`);
    // One refund at the processor is one row, whichever path reports it, and whatever its metadata say by then.
    await createIndex(db, {
      table: 'refunds',
      name: 'refunds_once_per_processor_reference',
      unique: true,
      definition: '(account_id, processor_reference) WHERE processor_reference IS NOT NULL',
    });
    // A refund made at the processor's desk names no charge, only its payment.
    await createIndex(db, {
      table: 'charges',
      name: 'charges_by_processor_reference',
      definition: '(processor_reference) WHERE processor_reference IS NOT NULL',
    });
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
