import pg from 'pg';
import { migrations } from '../../migrations/index.js';
import { SESSION_LIMITS_MS, SESSION_OPTIONS } from './database.js';
import { whyQueueIsForeign } from './queue-owner.js';

/** The database answers, but nothing may be charged on it; the message is one line with the mend. */
export class UnfitDatabase extends Error {}

interface Facts {
  fsync: string;
  synchronous_commit: string;
  server_encoding: string;
  migrated: boolean;
  user: string;
  limits: Record<string, number>;
}

/**
 * Looks at the database once, before anything listens.
 *
 * @returns warnings: what should be otherwise and takes nobody's money.
 * @throws UnfitDatabase if an acknowledged charge could be forgotten, text be changed, or the schema is another.
 */
export async function checkDatabase(url: string, allowUnsafe: boolean): Promise<string[]> {
  const client = new pg.Client({
    connectionString: url,
    options: SESSION_OPTIONS,
    connectionTimeoutMillis: 10_000,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const facts = await readFacts(client);
    if (!allowUnsafe) requireDurability(facts);
    if (facts.server_encoding !== 'UTF8') {
      throw new UnfitDatabase(
        `The database's encoding is ${facts.server_encoding}: text would not come back as it was sent. Create one with ENCODING 'UTF8'.`,
      );
    }
    const missing = facts.migrated ? await missingMigrations(client) : migrations.length;
    if (missing > 0) {
      throw new UnfitDatabase(
        `The database lacks ${missing} of ${migrations.length} migrations. Run \`npm run migrate\` first.`,
      );
    }
    const foreign = await whyQueueIsForeign(client);
    if (foreign !== undefined) throw new UnfitDatabase(foreign);
    return missingLimits(facts);
  } finally {
    await client.end();
  }
}

async function readFacts(client: pg.Client): Promise<Facts> {
  const { rows } = await client.query<Facts>(
    `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('server_encoding') AS server_encoding, to_regclass('migrations') IS NOT NULL AS migrated,
       current_user AS user,
       (SELECT json_object_agg(name, setting::bigint) FROM pg_settings WHERE name = ANY ($1)) AS limits`,
    [Object.keys(SESSION_LIMITS_MS)],
  );
  return rows[0]!;
}

function requireDurability(facts: Facts): void {
  for (const name of ['fsync', 'synchronous_commit'] as const) {
    if (facts[name] !== 'off') continue;
    throw new UnfitDatabase(
      `The database runs with ${name}=off: after a power loss it could forget a charge that was paid. Turn ${name} on (for tests only: ALLOW_UNSAFE_DATABASE=1).`,
    );
  }
}

/** A schema that is ahead of this program is no fault: migrations are forward only, and deploys overlap. */
async function missingMigrations(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ name: string }>('SELECT name FROM migrations');
  const applied = new Set(rows.map(({ name }) => name));
  return migrations.filter(({ name }) => !applied.has(name)).length;
}

/** Behind a pooler that ignores our start-up parameters, the role has to carry them. */
function missingLimits({ limits, user }: Facts): string[] {
  return Object.entries(SESSION_LIMITS_MS)
    .filter(([name]) => !limits[name])
    .map(
      ([name, ms]) =>
        `${name} is not in force: ALTER ROLE ${JSON.stringify(user)} SET ${name} = ${ms}`,
    );
}
