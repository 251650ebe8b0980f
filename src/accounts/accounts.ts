import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { elapsedMs } from '../database/clock.js';
import { hashApiKey } from './new-account.js';

export { addApiKey, createAccount, hashApiKey } from './new-account.js';

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
