import { createHash, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Database, type Queryable } from '../database/database.js';
import { elapsedMs } from '../database/clock.js';
import { randomId } from '../http/request-id.js';

/** API keys are random and long, so that one round of SHA-256 keeps them as well as a slow hash would. */
export function hashApiKey(apiKey: string): Buffer {
  return createHash('sha256').update(apiKey).digest();
}

/** How long a found key is believed, in ms. Every process refuses a revoked key within this and the lookup's own time. */
const BELIEVED_MS = 900;
/** Keys that one process remembers at once, 100 bytes each. Beyond that the oldest lookups are repeated. */
const MOST_REMEMBERED = 10_000;

@Injectable()
export class Accounts {
  /** By the hash of the key, oldest lookup first. Unknown and revoked keys are never remembered. */
  private readonly found = new Map<string, { accountId: string; until: number }>();

  constructor(private readonly db: Database) {}

  /** The account of an API key that exists and, at most a second ago, was not revoked. */
  async findByApiKey(apiKey: string): Promise<string | undefined> {
    const hash = hashApiKey(apiKey);
    const name = hash.toString('base64');
    const asked = elapsedMs(); // before the lookup: a process that sleeps after it trusts it no longer for that
    const remembered = this.found.get(name);
    if (remembered && asked < remembered.until) return remembered.accountId;
    const [row] = await this.db.query<{ account_id: string }>(
      `SELECT account_id FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL`,
      [hash],
    );
    this.found.delete(name);
    if (!row) return undefined;
    this.found.set(name, { accountId: row.account_id, until: asked + BELIEVED_MS });
    const [oldest] = this.found.size > MOST_REMEMBERED ? this.found.keys() : [];
    if (oldest !== undefined) this.found.delete(oldest);
    return row.account_id;
  }
}

/** Account ids are random: a wiped installation never meets the names that it once gave to a processor. */
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
