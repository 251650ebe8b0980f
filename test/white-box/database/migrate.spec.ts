import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { checkDatabase, UnfitDatabase } from '../../../src/database/database-check.js';
import { MigrationBlocked } from '../../../src/database/lock-retries.js';
import { migrate, MigrationLockLost, MigrationOutOfTime } from '../../../src/database/migrate.js';
import { testDatabaseUrl } from '../../support/database.js';
import { startStrippingPooler } from '../../support/stripping-pooler.js';
import { until } from '../../support/until.js';

/** The connection that holds the migrations' lock is lost while they run. */
const name = `migrated_${randomBytes(5).toString('hex')}`;
let admin: pg.Client;
let blocker: pg.Client;
beforeAll(async () => {
  admin = await connected(testDatabaseUrl('postgres'));
  await admin.query(`CREATE DATABASE ${name}`);
  blocker = await connected(testDatabaseUrl(name));
});
afterAll(async () => {
  await blocker.end();
  await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  await admin.end();
});

async function connected(connectionString: string): Promise<pg.Client> {
  const options = '-c statement_timeout=0 -c transaction_timeout=0'; // whatever the database has
  const client = new pg.Client({ connectionString, options });
  await client.connect();
  return client;
}

/** What the others do in that database. */
async function sessions(where: string): Promise<number[]> {
  const { rows } = await admin.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE datname = $1 AND pid <> $2 AND ${where}`,
    [name, (blocker as unknown as { processID: number }).processID],
  );
  return rows.map(({ pid }) => pid);
}

const HOLDS_THE_LOCK = `pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)`;

async function isThere(table: string): Promise<boolean> {
  const { rows } = await blocker.query('SELECT to_regclass($1) AS found', [table]);
  return rows[0].found !== null;
}

/** Each is made in its turn, and waits for whoever is making it already. */
describe.each([
  ['our migrations', 'CREATE TABLE charges (id int)', 'charges', 'refunds'],
  [
    'the queue’s migrations',
    'CREATE SCHEMA graphile_worker',
    'graphile_worker.migrations',
    'graphile_worker._private_jobs',
  ],
])('while %s run', (_whose, inTheWay, next, last) => {
  test('the loss of their lock is told, and they do not go on without it', async () => {
    await blocker.query('BEGIN');
    await blocker.query(inTheWay);
    const migrated = migrate(testDatabaseUrl(name));
    const refused = expect(migrated).rejects.toThrow(MigrationLockLost);
    await until(async () => (await sessions(`wait_event_type = 'Lock'`)).length > 0);
    const [holder] = await sessions(HOLDS_THE_LOCK);
    await admin.query('SELECT pg_terminate_backend($1)', [holder]);
    await refused;
    await until(async () => (await sessions('true')).length === 0); // nobody is left to go on
    await blocker.query('ROLLBACK');
    expect([await isThere(next), await isThere(last)]).toEqual([false, false]);
  });
});

test('afterwards they are run as if nothing had happened, whatever time statements have here', async () => {
  process.env.GRAPHILE_WORKER_SCHEMA = 'of_another_application'; // in the shell: ours is named
  await admin.query(`ALTER DATABASE ${name} SET statement_timeout = '1ms'`);
  await admin.query(`ALTER DATABASE ${name} SET transaction_timeout = '1s'`);
  await migrate(testDatabaseUrl(name));
  delete process.env.GRAPHILE_WORKER_SCHEMA;
  expect([await isThere('charges'), await isThere('graphile_worker._private_jobs')]).toEqual([
    true,
    true,
  ]);
});

/** When the migrations last asked what is in their way. */
async function lastLook(): Promise<string> {
  const { rows } = await admin.query<{ at: string }>(
    `SELECT max(query_start)::text AS at FROM pg_stat_activity
     WHERE datname = $1 AND query LIKE '%pg_blocking_pids%' AND pid <> pg_backend_pid()`,
    [name],
  );
  return rows[0]!.at;
}

test('the log names an old transaction whose end an index build waits for, once', async () => {
  await blocker.query('DROP INDEX charges_by_status');
  await blocker.query(`DELETE FROM migrations WHERE name LIKE 'EachFilterItsIndex%'`);
  const dump = await connected(testDatabaseUrl(name));
  await dump.query(`SET application_name = 'pg_dump'`);
  await dump.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM accounts');
  const lines: string[] = [];
  const migrated = migrate(testDatabaseUrl(name), {
    log: (line) => lines.push(line),
    patienceMs: 1,
  });
  await Promise.race([migrated, until(async () => lines.length > 0)]);
  for (let looks = 0; looks < 2; looks++) {
    const last = await lastLook();
    await until(async () => (await lastLook()) !== last);
  }
  await dump.query('COMMIT');
  await migrated;
  await dump.end();
  expect(lines).toEqual([
    expect.stringMatching(
      /^A migration waits for a lock: pid \d+, pg_dump, idle in transaction, for \d\d:\d\d:\d\d\. It continues when that transaction ends\.$/,
    ),
  ]);
});

describe('while a dump reads a table that is to be changed', () => {
  let dump: pg.Client;
  beforeAll(async () => {
    // As it was before the last migration.
    await blocker.query('DROP INDEX refunds_one_live_per_cause');
    await blocker.query('CREATE UNIQUE INDEX refunds_once_per_cause ON refunds (id)');
    await blocker.query(`DELETE FROM migrations WHERE name LIKE 'OneLiveRefundPerCause%'`);
    dump = await connected(testDatabaseUrl(name));
    await dump.query(`SET application_name = 'pg_dump'`);
    await dump.query('BEGIN; LOCK refunds IN ACCESS SHARE MODE');
  });
  afterAll(() => dump.end());

  test('requests go on, the log names the dump, and the change is made when it has ended', async () => {
    const lines: string[] = [];
    const migrated = migrate(testDatabaseUrl(name), {
      log: (line) => lines.push(line),
      pauseMs: 10,
    });
    await Promise.race([migrated, until(async () => lines.length > 0)]);
    expect(lines).toEqual([
      expect.stringMatching(
        /^A migration waits for a lock: pid \d+, pg_dump, idle in transaction, for \d\d:\d\d:\d\d\. It tries again\.$/,
      ),
    ]);
    // Would wait for the dump's end behind a migration that does.
    await blocker.query('SELECT count(*) FROM refunds');
    await dump.query('COMMIT');
    await migrated;
    expect(await isThere('refunds_one_live_per_cause')).toBe(true);
  });

  test('they give up in the end and say what is in the way', async () => {
    await blocker.query(`DELETE FROM migrations WHERE name LIKE 'OneLiveRefundPerCause%'`);
    await dump.query('BEGIN; LOCK refunds IN ACCESS SHARE MODE');
    await blocker.query('ALTER INDEX refunds_one_live_per_cause RENAME TO refunds_once_per_cause');
    const blocked = migrate(testDatabaseUrl(name), { attempts: 2, pauseMs: 10 });
    await expect(blocked).rejects.toThrow(MigrationBlocked);
    await expect(blocked).rejects.toThrow(/in 2 attempts: pid \d+, pg_dump, idle in transaction/);
    expect(await isThere('refunds_once_per_cause')).toBe(true);
  });
});

/** The database's own limits are 1 s for a transaction and, by then, none for a statement. */
describe('while a charge is written for longer than the limits of the database', () => {
  const CHARGES_ARE_WRITTEN = 'BEGIN; LOCK charges IN ROW EXCLUSIVE MODE';
  const OURS = `application_name = 'charge-once migrations'`;
  const forget = (...migrations: string[]) =>
    blocker.query('DELETE FROM migrations WHERE name ~ $1', [migrations.join('|')]);
  const stateOf = async (index: string) => {
    const { rows } = await blocker.query(
      'SELECT indexrelid AS oid, indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass($1)',
      [index],
    );
    return rows[0];
  };
  const setLimits = async (limits: Record<string, string>) => {
    for (const [limit, value] of Object.entries(limits))
      await admin.query(`ALTER DATABASE ${name} SET ${limit} = '${value}'`);
  };

  test('its index is built, without a lock that holds up requests', async () => {
    await setLimits({ statement_timeout: '0', transaction_timeout: '1s' });
    await blocker.query(
      'DROP INDEX charges_by_processor_reference, refunds_once_per_processor_reference',
    );
    await blocker.query('ALTER TABLE refunds DROP COLUMN reversed_at CASCADE');
    await forget('RefundsMadeOrFailedElsewhere', 'FoundByProcessorReference');
    await blocker.query(CHARGES_ARE_WRITTEN);
    const migrated = migrate(testDatabaseUrl(name));
    const waits = (more = 'true') =>
      until(
        async () => (await sessions(`${OURS} AND wait_event_type = 'Lock' AND ${more}`)).length > 0,
      );
    await Promise.race([migrated, waits()]);
    const { rows } = await blocker.query(
      `SELECT DISTINCT mode FROM pg_locks JOIN pg_stat_activity AS session USING (pid)
       WHERE ${OURS} AND relation IN ('charges'::regclass, 'refunds'::regclass)`,
    );
    expect(rows).toEqual([{ mode: 'ShareUpdateExclusiveLock' }]);
    await Promise.race([migrated, waits(`clock_timestamp() - xact_start > '1.2 s'`)]);
    await blocker.query('COMMIT');
    await migrated;
    expect(await stateOf('charges_by_processor_reference')).toMatchObject({ valid: true });
  });

  test.each([
    { limit: 'statement_timeout', other: 'transaction_timeout' },
    { limit: 'transaction_timeout', other: 'statement_timeout' },
  ])('behind a pooler that keeps $limit one line says what to do', async ({ limit, other }) => {
    await setLimits({ [limit]: '1s', [other]: '0' });
    const pooler = await startStrippingPooler(testDatabaseUrl(name));
    await blocker.query('DROP INDEX charges_by_status');
    await forget('NotificationsByState', 'EachFilterItsIndex');
    const before = [await stateOf('processor_events_by_state'), await stateOf('charges_of_order')];
    await blocker.query(CHARGES_ARE_WRITTEN);
    const ended = await migrate(pooler.url).catch((error) => error);
    await blocker.query('COMMIT');
    expect(ended).toBeInstanceOf(MigrationOutOfTime);
    expect(ended.message).toMatch(
      new RegExp(`^A migration was ended by ${limit} = 1s: the pooler .* DATABASE_URL: .*\\.$`),
    );
    expect(await stateOf('charges_by_status')).toMatchObject({ valid: false });
    await migrate(testDatabaseUrl(name));
    expect(await stateOf('charges_by_status')).toMatchObject({ valid: true });
    const after = [await stateOf('processor_events_by_state'), await stateOf('charges_of_order')];
    expect(after).toEqual(before); // not built a second time
    pooler.close();
  });
});

test('payments that are parked already stay open, and none is resolved without saying how', async () => {
  await blocker.query(
    'ALTER TABLE parked_payments DROP COLUMN resolved_at CASCADE, DROP COLUMN resolution CASCADE',
  );
  await blocker.query(`DELETE FROM migrations WHERE name LIKE 'ParkedPaymentsResolved%'`);
  await blocker.query(
    `INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason)
     VALUES ('acct_1', 'pi_1', 'ch_1', 1, 'eur', 'second_payment')`,
  );
  await migrate(testDatabaseUrl(name));
  const { rows } = await blocker.query('SELECT resolved_at, resolution FROM parked_payments');
  expect(rows).toEqual([{ resolved_at: null, resolution: null }]);
  for (const half of ['resolved_at = now()', `resolution = 'refunded'`])
    await expect(blocker.query(`UPDATE parked_payments SET ${half}`)).rejects.toThrow(
      'parked_payments_resolved_says_how',
    );
});

describe('a database that another installation has, in another schema,', () => {
  const useSchema = (schema: string) =>
    admin.query(`ALTER DATABASE ${name} SET search_path = ${schema}`);

  test('is refused before anything is made in it', async () => {
    await blocker.query('CREATE SCHEMA staging');
    await useSchema('staging');
    const belongsTo =
      /belongs to the installation in the schema "public", this one is in "staging"/;
    await expect(migrate(testDatabaseUrl(name))).rejects.toThrow(belongsTo);
    // Its queue is older than the marks.
    await blocker.query('COMMENT ON SCHEMA graphile_worker IS NULL');
    await expect(migrate(testDatabaseUrl(name))).rejects.toThrow(belongsTo);
    expect(await isThere('staging.migrations')).toBe(false);
  });

  test('is refused at boot too, and taken by the one whose schema was renamed', async () => {
    await blocker.query('DROP SCHEMA public, graphile_worker CASCADE');
    await migrate(testDatabaseUrl(name));
    expect(await isThere('staging.charges')).toBe(true);
    await expect(checkDatabase(testDatabaseUrl(name), true)).resolves.toBeDefined();
    await blocker.query('ALTER SCHEMA staging RENAME TO production');
    await useSchema('production');
    const refusal = await checkDatabase(testDatabaseUrl(name), true).catch((error) => error);
    expect(refusal).toBeInstanceOf(UnfitDatabase);
    await blocker.query(/COMMENT ON SCHEMA .*'/.exec(refusal.message)![0]);
    await migrate(testDatabaseUrl(name));
    await expect(checkDatabase(testDatabaseUrl(name), true)).resolves.toBeDefined();
  });
});

test('of three processes at once one migrates, and the others find nothing left to do', async () => {
  const together = `${name}_together`;
  await admin.query(`CREATE DATABASE ${together}`);
  try {
    const url = testDatabaseUrl(together);
    await Promise.all([1, 2, 3].map(() => migrate(url)));
    await expect(checkDatabase(url, true)).resolves.toBeDefined();
  } finally {
    await admin.query(`DROP DATABASE ${together} WITH (FORCE)`);
  }
});
