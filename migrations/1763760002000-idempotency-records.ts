import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The engine's one table (src/idempotency). Take this file along when you lift the engine out. */
export class IdempotencyRecords1763760002000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE idempotency_records (
        account_id text NOT NULL,
        key text NOT NULL,
        operation text NOT NULL,
        resource_id text NOT NULL,
        fingerprint bytea NOT NULL,
        members json NOT NULL,
        request_id text NOT NULL,
        state text NOT NULL,
        epoch integer NOT NULL,
        attempts integer NOT NULL,
        in_doubt boolean NOT NULL,
        first_seen_at timestamptz NOT NULL,
        lease_expires_at timestamptz,
        next_attempt_at timestamptz,
        completed_at timestamptz,
        expires_at timestamptz,
        response_status smallint,
        response_headers json,
        response_body text,
        -- The one line that decides every race.
        CONSTRAINT idempotency_records_pkey PRIMARY KEY (account_id, key),
        CONSTRAINT idempotency_records_resource_key UNIQUE (account_id, resource_id),
        CONSTRAINT idempotency_records_state_is_known CHECK (state IN ('in_progress', 'completed')),
        CONSTRAINT idempotency_records_key_has_1_to_255_characters CHECK (length(key) BETWEEN 1 AND 255),
        CONSTRAINT idempotency_records_completed_has_its_answer CHECK (
          CASE state
            WHEN 'completed' THEN num_nulls(completed_at, expires_at, response_status, response_headers, response_body) = 0
            ELSE num_nonnulls(completed_at, expires_at, response_status, response_headers, response_body) = 0
          END),
        CONSTRAINT idempotency_records_completed_has_no_lease CHECK (
          state = 'in_progress' OR num_nonnulls(lease_expires_at, next_attempt_at) = 0),
        CONSTRAINT idempotency_records_stores_outcomes_only CHECK (
          response_status BETWEEN 200 AND 299 OR response_status = 402),
        CONSTRAINT idempotency_records_epochs_begin_at_1 CHECK (epoch >= 1 AND attempts >= 1)
      )`);
    await db.query(`
      CREATE INDEX idempotency_records_unfinished ON idempotency_records (first_seen_at)
      WHERE state = 'in_progress'`);
    await db.query(`
      CREATE INDEX idempotency_records_by_expiry ON idempotency_records (expires_at)
      WHERE state = 'completed'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
