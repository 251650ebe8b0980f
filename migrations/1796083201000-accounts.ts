import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Accounts1796083201000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE accounts (
        id text NOT NULL,
        name text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT accounts_pkey PRIMARY KEY (id)
      )`);
    await db.query(`
      COMMENT ON TABLE accounts IS
        'A merchant. Written by "npm run account" and, for the demo accounts, by "npm start".'`);
    await db.query(`
      CREATE TABLE api_keys (
        key_hash bytea NOT NULL,
        account_id text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        revoked_at timestamptz,
        CONSTRAINT api_keys_pkey PRIMARY KEY (key_hash),
        CONSTRAINT api_keys_account_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT api_keys_hash_is_sha256 CHECK (octet_length(key_hash) = 32)
      )`);
    await db.query(`
      COMMENT ON TABLE api_keys IS
        'A secret by which an account calls the API. Written and revoked by "npm run account".'`);
    await db.query(`
      COMMENT ON CONSTRAINT api_keys_pkey ON api_keys IS
        'Without the account: a request presents only the key, and this row says whose it is.'`);
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
