import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { elapsedMs } from '../database/clock.js';
import { hashApiKey } from './new-account.js';

/** How long a found key is cached, in ms. Every process refuses a revoked key within this time plus one lookup. */
const CACHE_MS = 900;
/** Keys that one process caches, about 100 bytes each. Above this, the oldest are looked up again. */
const MAX_CACHED = 10_000;

@Injectable()
export class Accounts {
  /** By the key's hash, oldest lookup first. Holds keys that were valid at their lookup, each for CACHE_MS. */
  private readonly cache = new Map<string, { accountId: string; until: number }>();

  constructor(private readonly db: Database) {}

  /** The account of an API key that exists and was not revoked more than a second ago. */
  async findByApiKey(apiKey: string): Promise<string | undefined> {
    const hash = hashApiKey(apiKey);
    const name = hash.toString('base64');
    const startedMs = elapsedMs(); // before the lookup: a pause during it must not prolong the time in the cache
    const cached = this.cache.get(name);
    if (cached && startedMs < cached.until) return cached.accountId;
    const [row] = await this.db.query<{ account_id: string }>(
      `SELECT account_id FROM api_keys WHERE key_hash = $1 AND revoked_at IS NULL`,
      [hash],
    );
    this.cache.delete(name);
    if (!row) return undefined;
    this.cache.set(name, { accountId: row.account_id, until: startedMs + CACHE_MS });
    const [oldest] = this.cache.size > MAX_CACHED ? this.cache.keys() : [];
    if (oldest !== undefined) this.cache.delete(oldest);
    return row.account_id;
  }
}
