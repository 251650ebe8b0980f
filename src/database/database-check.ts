import pg from 'pg';
import { migrations } from '../../migrations/index.js';
import { connectionTarget } from './connection-target.js';
import { foreignQueueMessage } from './queue-owner.js';
import {
  alterRole,
  findUnfitSetting,
  SELECT_SETTINGS,
  SESSION_LIMITS_MS,
  SESSION_OPTIONS,
  type SessionSettings,
} from './session.js';

/** The database answers, but nothing may be charged on it; the message is one line with the mend. */
export class UnfitDatabase extends Error {}

/** A standby, or set read-only: that passes, so that a supervisor may try again. */
export class ReadOnlyDatabase extends Error {
  constructor() {
    super('The database is read-only: a standby, or default_transaction_read_only is on.');
  }
}

/**
 * What is refused because an acknowledged charge could be lost: by a power loss, by a page that is torn, emptied or
 * wrong, by a row that points nowhere.
 */
const UNSAFE = {
  fsync: { value: 'off', effect: 'after a power loss it could forget a charge that was paid' },
  synchronous_commit: {
    value: 'off',
    effect: 'after a power loss it could forget a charge that was paid',
  },
  full_page_writes: {
    value: 'off',
    effect: 'a power loss in the middle of a write could destroy the rows of a page',
  },
  zero_damaged_pages: { value: 'on', effect: 'it would empty a damaged page and say nothing' },
  ignore_checksum_failure: {
    value: 'on',
    effect: 'it would read a damaged page as if it were good',
  },
  session_replication_role: { value: 'replica', effect: 'it would not enforce foreign keys' },
} as const;

const SELECT_UNSAFE = Object.keys(UNSAFE)
  .map((name) => `current_setting('${name}') AS ${name}`)
  .join(', ');

type Facts = SessionSettings &
  Record<keyof typeof UNSAFE, string> & {
    server_encoding: string;
    read_only: boolean;
    migrated: boolean;
    user: string;
    limits: Record<string, number>;
  };

/**
 * Looks at the database once, before anything listens.
 *
 * @returns warnings: what should be otherwise and takes nobody's money.
 * @throws UnfitDatabase if an acknowledged charge could be forgotten, text be changed, a statement mean something else,
 *   or the schema is another. ReadOnlyDatabase while it is a standby.
 */
export async function checkDatabase(url: string, allowUnsafe: boolean): Promise<string[]> {
  const client = new pg.Client({
    ...connectionTarget(url, SESSION_OPTIONS),
    application_name: 'charge-once check',
    connectionTimeoutMillis: 10_000,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const facts = await readFacts(client);
    if (facts.read_only) throw new ReadOnlyDatabase();
    if (!allowUnsafe) requireDurability(facts);
    requireMeaning(facts);
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
    const foreign = await foreignQueueMessage(client);
    if (foreign !== undefined) throw new UnfitDatabase(foreign);
    return missingLimits(facts);
  } finally {
    await client.end();
  }
}

async function readFacts(client: pg.Client): Promise<Facts> {
  const { rows } = await client.query<Facts>(
    `SELECT ${SELECT_SETTINGS}, ${SELECT_UNSAFE},
       current_setting('transaction_read_only') = 'on' AS read_only,
       current_setting('server_encoding') AS server_encoding, to_regclass('migrations') IS NOT NULL AS migrated,
       current_user AS user,
       (SELECT json_object_agg(name, setting::bigint) FROM pg_settings WHERE name = ANY ($1)) AS limits`,
    [Object.keys(SESSION_LIMITS_MS)],
  );
  return rows[0]!;
}

function requireDurability(facts: Facts): void {
  for (const [name, { value, effect }] of Object.entries(UNSAFE)) {
    if (facts[name as keyof typeof UNSAFE] !== value) continue;
    const right = { off: 'on', on: 'off', replica: 'origin' }[value];
    throw new UnfitDatabase(
      `The database runs with ${name}=${value}: ${effect}. Set ${name} to ${right} (for tests only: ALLOW_UNSAFE_DATABASE=1).`,
    );
  }
}

/** Our start-up parameters set these; a pooler may have ignored them. */
function requireMeaning(facts: Facts): void {
  const unfit = findUnfitSetting(facts);
  if (!unfit) return;
  const { name, value, wanted } = unfit;
  throw new UnfitDatabase(
    `The pooler in front of the database ignores our start-up parameters, and ${name} is '${value}': charges would be taken and not be settled. ${alterRole(facts.user, name, wanted)}`,
  );
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
    .map(([name, ms]) => `${name} is not in force: ${alterRole(user, name, ms)}`);
}
