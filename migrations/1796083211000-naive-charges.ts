import type { MigrationInterface, QueryRunner } from 'typeorm';

export class NaiveCharges1796083211000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE naive_charges (
        account_id text NOT NULL,
        id text NOT NULL,
        amount bigint NOT NULL,
        currency text NOT NULL,
        payment_method text NOT NULL,
        processor_reference text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT naive_charges_pkey PRIMARY KEY (account_id, id)
      )`);
    await db.query(`
      COMMENT ON TABLE naive_charges IS
        'A charge without any guard, to compare with. Written by the naive lane of the lab, after the payment.'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
