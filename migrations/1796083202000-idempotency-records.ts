import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The only table of the engine (src/idempotency). If you copy the engine into another project, copy this file too. */
export class IdempotencyRecords1796083202000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    // The second key begins with `resource_id`, so that only the primary key serves a search by account and key: index.ts
    // says why.
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
        failures integer NOT NULL DEFAULT 0,
        in_doubt boolean NOT NULL,
        needs_attention boolean NOT NULL DEFAULT false,
        first_seen_at timestamptz NOT NULL,
        lease_expires_at timestamptz,
        next_attempt_at timestamptz,
        completed_at timestamptz,
        expires_at timestamptz,
        response_status smallint,
        response_headers json,
        response_body text,
        CONSTRAINT idempotency_records_pkey PRIMARY KEY (account_id, key),
        CONSTRAINT idempotency_records_resource_key UNIQUE (resource_id, account_id),
        CONSTRAINT idempotency_records_state_is_known CHECK (state IN ('in_progress', 'completed')),
        CONSTRAINT idempotency_records_key_has_1_to_255_characters CHECK (length(key) BETWEEN 1 AND 255),
        CONSTRAINT idempotency_records_completed_has_its_answer CHECK (
          CASE state
            WHEN 'completed' THEN num_nulls(completed_at, expires_at, response_status, response_headers, response_body) = 0
            ELSE num_nonnulls(completed_at, expires_at, response_status, response_headers, response_body) = 0
          END),
        CONSTRAINT idempotency_records_completed_has_no_lease CHECK (
          state = 'in_progress' OR num_nonnulls(lease_expires_at, next_attempt_at) = 0),
        CONSTRAINT idempotency_records_stores_http_statuses CHECK (response_status BETWEEN 200 AND 599),
        CONSTRAINT idempotency_records_epochs_begin_at_1 CHECK (epoch >= 1 AND attempts >= 1)
      )`);
    await db.query(`
      COMMENT ON TABLE idempotency_records IS
        'A request, identified by its key: who works on it and, later, the stored response. Written by the engine.'`);
    await db.query(`
      COMMENT ON COLUMN idempotency_records.resource_id IS
        'Derived from account, operation and key. It is the id of the object that the request makes.'`);
    await db.query(`
      COMMENT ON COLUMN idempotency_records.members IS
        'A digest of each member of the request, so that a reused key can name the members that differ.'`);
    await db.query(`
      COMMENT ON COLUMN idempotency_records.epoch IS
        'The fencing token. Only the holder of the newest epoch can complete the record.'`);
    await db.query(`
      COMMENT ON COLUMN idempotency_records.failures IS
        'Attempts of the sweep that began and have not shown that the fault lies outside.'`);
    await db.query(`
      COMMENT ON COLUMN idempotency_records.in_doubt IS
        'An earlier attempt may have had an effect outside.'`);
    await db.query(`
      COMMENT ON COLUMN idempotency_records.needs_attention IS
        'The sweep has stopped repeating the request. A person must look.'`);
    await db.query(`
      COMMENT ON COLUMN idempotency_records.lease_expires_at IS
        'Until then one attempt holds the record. After that another process can claim it.'`);
    await db.query(`
      COMMENT ON COLUMN idempotency_records.next_attempt_at IS
        'When the sweep tries again. A retry by the client does not wait for it.'`);
    await db.query(`
      COMMENT ON CONSTRAINT idempotency_records_pkey ON idempotency_records IS
        'Decides every race: of two requests with one key, one inserts the row and the other waits.'`);
    await db.query(`
      COMMENT ON CONSTRAINT idempotency_records_stores_http_statuses ON idempotency_records IS
        'Which statuses are final is an option of the engine (isFinal).'`);
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
