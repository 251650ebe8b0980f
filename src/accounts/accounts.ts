import { createHash, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Database, type Queryable } from '../platform/database.js';
import { randomId } from '../platform/request-id.js';

/** API keys are random and long, so that one round of SHA-256 keeps them as well as a slow hash would. */
export function hashApiKey(apiKey: string): Buffer {
  return createHash('sha256').update(apiKey).digest();
}

@Injectable()
export class Accounts {
  constructor(private readonly db: Database) {}

  /** The account that a key belongs to, if the key is known and was not revoked. */
  async findByApiKey(apiKey: string): Promise<string | undefined> {
    const rows = await this.db.query<{ account_id: string }>(
      `SELECT account_id FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL`,
      [hashApiKey(apiKey)],
    );
    return rows[0]?.account_id;
  }
}

/** Account ids are random: a wiped installation never meets the names that it once gave to a processor. */
export async function createAccount(db: Queryable, name: string): Promise<string> {
  const id = randomId('acct');
  await db.query(`INSERT INTO accounts (id, name) VALUES ($1, $2)`, [id, name]);
  return id;
}

/**
 * Adds a key to an account; only its hash is kept.
 * @returns the key, to be shown once.
 */
export async function addApiKey(
  db: Queryable,
  accountId: string,
  apiKey = `sk_test_${randomBytes(24).toString('base64url')}`,
): Promise<string> {
  await db.query(`INSERT INTO api_keys (key_hash, account_id) VALUES ($1, $2)`, [
    hashApiKey(apiKey),
    accountId,
  ]);
  return apiKey;
}
