import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who may call. A directory, not an account's own data: read by key hash before the account is known. */
export class Accounts1763760001000 implements MigrationInterface {
  async up(db: QueryRunner): Promise<void> {
    await db.query(`
      CREATE TABLE accounts (
        id text NOT NULL,
        name text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT accounts_pkey PRIMARY KEY (id)
      )`);
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
  }

  async down(): Promise<void> {
    throw new Error('Forward only: write a new migration.');
  }
}
