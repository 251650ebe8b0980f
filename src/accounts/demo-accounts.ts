import { databaseOptions, withDatabase } from '../database/database.js';
import { addApiKey, createAccount, hashApiKey } from './new-account.js';

/** The accounts of `npm start`. Their keys are public, so they are created nowhere else. */
export const DEMO_ACCOUNTS = { acme: 'sk_test_acme', globex: 'sk_test_globex' };

/**
 * Creates the demo accounts if they do not exist. Only one of two concurrent starts creates them, because the key's
 * hash is unique.
 */
export async function ensureDemoAccounts(databaseUrl: string): Promise<void> {
  const options = databaseOptions(databaseUrl, 1);
  // No connection timeout: on a slow machine PostgreSQL may take long to start.
  const extra = { ...options.extra, connectionTimeoutMillis: 0 };
  await withDatabase({ ...options, extra }, async (db) => {
    for (const [name, apiKey] of Object.entries(DEMO_ACCOUNTS)) {
      await db.transaction(async (tx) => {
        await tx.query('LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE');
        const known = await tx.query('SELECT 1 FROM api_keys WHERE key_hash = $1', [
          hashApiKey(apiKey),
        ]);
        if (known.length === 0) await addApiKey(tx, await createAccount(tx, name), apiKey);
      });
    }
  });
}
