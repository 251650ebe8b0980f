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

/** The database works, but it is not safe to work on. The message is one line that says what to change. */
export class UnfitDatabase extends Error {}

/** A standby, or set read-only. Temporary, so a supervisor may try again. */
export class ReadOnlyDatabase extends Error {
  constructor() {
    super('The database is read-only: a standby, or default_transaction_read_only is on.');
  }
}

/**
 * Settings that are refused because an acknowledged commit could be lost: by a power loss, by a page that is torn,
 * emptied or wrong, or by a foreign key that is not enforced.
 */
const UNSAFE = {
  fsync: { value: 'off', effect: 'after a power loss it could forget an acknowledged commit' },
  synchronous_commit: {
    value: 'off',
    effect: 'after a power loss it could forget an acknowledged commit',
  },
  full_page_writes: {
    value: 'off',
    effect: 'a power loss in the middle of a write could destroy the rows of a page',
  },
  zero_damaged_pages: { value: 'on', effect: 'it would silently empty a damaged page' },
  ignore_checksum_failure: {
    value: 'on',
    effect: 'it would read a damaged page as a valid one',
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
    user: string;
    limits: Record<string, number>;
  };

/**
 * Checks the database once, before anything listens.
 *
 * @returns warnings: settings that should differ but lose no commit.
 * @throws UnfitDatabase if an acknowledged commit could be lost, text could change, a statement could mean something
 *   else, or the schema is not ours. ReadOnlyDatabase while it is a standby.
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
    const applied = await appliedMigrations(async (sql) => (await client.query(sql)).rows);
    refuseOldSchema(applied);
    const missing = migrations.filter(({ name }) => !applied.has(name)).length;
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
       current_setting('server_encoding') AS server_encoding, current_user AS user,
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

/** Our start-up parameters set these, but a pooler may ignore them. */
function requireMeaning(facts: Facts): void {
  const unfit = findUnfitSetting(facts);
  if (!unfit) return;
  const { name, value, wanted } = unfit;
  throw new UnfitDatabase(
    `The pooler in front of the database ignores our start-up parameters, and ${name} is '${value}': work would begin and not be settled. ${alterRole(facts.user, name, wanted)}`,
  );
}

/** The names in TypeORM's table. A newer version may have added some: migrations are forward only, and deploys overlap. */
export async function appliedMigrations(
  select: (sql: string) => Promise<{ name: string }[]>,
): Promise<Set<string>> {
  const [table] = await select(`SELECT to_regclass('migrations')::text AS name`);
  const rows = table?.name ? await select('SELECT name FROM migrations') : [];
  return new Set(rows.map(({ name }) => name));
}

/** The time at the end of a class name, in ms. Before our first migration it means a version before 0.2. */
const timeOf = (migration: string) => Number(migration.slice(-13));
const FIRST_MIGRATION = timeOf(migrations[0]!.name);

/** @throws UnfitDatabase if a version before 0.2 made the schema: no migration leads from there to ours. */
export function refuseOldSchema(applied: Set<string>): void {
  if (![...applied].some((name) => timeOf(name) < FIRST_MIGRATION)) return;
  throw new UnfitDatabase(
    'The database was made by a version before 0.2, and no migration leads from there. Create a new database for DATABASE_URL; if `npm start` made it, remove `.data/` (or your DATA_DIR).',
  );
}

/** Behind a pooler that ignores our start-up parameters, the role must set the limits. */
function missingLimits({ limits, user }: Facts): string[] {
  return Object.entries(SESSION_LIMITS_MS)
    .filter(([name]) => !limits[name])
    .map(([name, ms]) => `${name} is not in force: ${alterRole(user, name, ms)}`);
}
