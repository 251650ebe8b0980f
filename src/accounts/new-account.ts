import { createHash, randomBytes } from 'node:crypto';
import type { Queryable } from '../database/database.js';
import { randomId } from '../http/request-id.js';

/** API keys are long and random, so one round of SHA-256 protects them as well as a slow hash. */
export function hashApiKey(apiKey: string): Buffer {
  return createHash('sha256').update(apiKey).digest();
}

/** Account ids are random. So an installation that was wiped cannot reuse the ids that its processor still knows. */
export async function createAccount(
  db: Queryable,
  name: string,
  id = randomId('acct'),
): Promise<string> {
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
