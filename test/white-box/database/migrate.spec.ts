import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { MigrationBlocked } from '../../../src/database/lock-retries.js';
import { migrate, MigrationLockLost, MigrationOutOfTime } from '../../../src/database/migrate.js';
import { testDatabaseUrl } from '../../support/database.js';
import { startStrippingPooler } from '../../support/stripping-pooler.js';
import { until } from '../../support/until.js';
import { migrateFurther } from './later-migrations.js';

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

/** The processes of the other sessions in that database. */
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

/** A migration that creates an object waits for a session that is creating the same object. */
describe.each([
  ['our migrations', 'CREATE TABLE charges (id int)', 'charges', 'refunds'],
  [
    'the queue’s migrations',
    'CREATE SCHEMA graphile_worker',
    'graphile_worker.migrations',
    'graphile_worker._private_jobs',
  ],
])('while %s run', (_whose, inTheWay, next, last) => {
  test('they report the loss of their lock, and do not continue without it', async () => {
    await blocker.query('BEGIN');
    await blocker.query(inTheWay);
    const migrated = migrate(testDatabaseUrl(name));
    const refused = expect(migrated).rejects.toThrow(MigrationLockLost);
    await until(async () => (await sessions(`wait_event_type = 'Lock'`)).length > 0);
    const [holder] = await sessions(HOLDS_THE_LOCK);
    await admin.query('SELECT pg_terminate_backend($1)', [holder]);
    await refused;
    await until(async () => (await sessions('true')).length === 0); // no session is left that could continue
    await blocker.query('ROLLBACK');
    expect([await isThere(next), await isThere(last)]).toEqual([false, false]);
  });
});

test('after a loss of their lock migrations run normally, whatever the time limits of the database', async () => {
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

/** When the migrations last looked for blocking sessions. */
async function lastLook(): Promise<string> {
  const { rows } = await admin.query<{ at: string }>(
    `SELECT max(query_start)::text AS at FROM pg_stat_activity
     WHERE datname = $1 AND query LIKE '%pg_blocking_pids%' AND pid <> pg_backend_pid()`,
    [name],
  );
  return rows[0]!.at;
}

test('the log names, once, an old transaction for whose end an index build waits', async () => {
  const dump = await connected(testDatabaseUrl(name));
  await dump.query(`SET application_name = 'pg_dump'`);
  await dump.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM accounts');
  const lines: string[] = [];
  const migrated = migrateFurther(testDatabaseUrl(name), {
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

const forget = (migration: string) =>
  blocker.query(`DELETE FROM migrations WHERE name LIKE '${migration}%'`);

describe('while a dump reads a table that is to be changed', () => {
  const undo = async () => {
    await blocker.query('ALTER TABLE refunds DROP COLUMN later');
    await forget('LaterColumn');
  };
  const isChanged = async () => {
    const { rows } = await blocker.query(
      `SELECT FROM information_schema.columns WHERE table_name = 'refunds' AND column_name = 'later'`,
    );
    return rows.length === 1;
  };
  let dump: pg.Client;
  beforeAll(async () => {
    dump = await connected(testDatabaseUrl(name));
    await dump.query(`SET application_name = 'pg_dump'`);
  });
  afterAll(() => dump.end());

  test('requests continue, the log names the dump, and the change is made after its end', async () => {
    await undo();
    await dump.query('BEGIN; LOCK refunds IN ACCESS SHARE MODE');
    const lines: string[] = [];
    const migrated = migrateFurther(testDatabaseUrl(name), {
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
    expect(await isChanged()).toBe(true);
  });

  test('they abandon the change in the end, and name the dump', async () => {
    await undo();
    await dump.query('BEGIN; LOCK refunds IN ACCESS SHARE MODE');
    const blocked = migrateFurther(testDatabaseUrl(name), { attempts: 2, pauseMs: 10 });
    await expect(blocked).rejects.toThrow(MigrationBlocked);
    await expect(blocked).rejects.toThrow(/in 2 attempts: pid \d+, pg_dump, idle in transaction/);
    expect(await isChanged()).toBe(false);
  });
});

/** At first, the database's limits are 1 s for a transaction and none for a statement. */
describe('while a charge is written for longer than the limits of the database', () => {
  const CHARGES_ARE_WRITTEN = 'BEGIN; LOCK charges IN ROW EXCLUSIVE MODE';
  const OURS = `application_name = 'charge-once migrations'`;
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
    await blocker.query('DROP INDEX later_first, later_second, later_third');
    await blocker.query('CREATE INDEX outdated ON charges (currency)');
    await forget('LaterIndexes');
    await blocker.query(CHARGES_ARE_WRITTEN);
    const migrated = migrateFurther(testDatabaseUrl(name));
    const waits = (more: string) =>
      until(
        async () => (await sessions(`${OURS} AND wait_event_type = 'Lock' AND ${more}`)).length > 0,
      );
    // Wait and locks in one query: between two, the migration may have continued with its next step. In a session of
    // its own: in the blocker's transaction, pg_stat_activity does not change after the first look.
    const observer = await connected(testDatabaseUrl(name));
    const modesWhileItWaits = async () =>
      (
        await observer.query(
          `SELECT DISTINCT mode FROM pg_locks JOIN pg_stat_activity AS session USING (pid)
           WHERE ${OURS} AND session.wait_event_type = 'Lock'
             AND relation IN ('charges'::regclass, 'refunds'::regclass)`,
        )
      ).rows;
    let modes: unknown[] = [];
    await Promise.race([
      migrated,
      until(async () => (modes = await modesWhileItWaits()).length > 0),
    ]);
    await observer.end();
    expect(modes).toEqual([{ mode: 'ShareUpdateExclusiveLock' }]);
    await Promise.race([migrated, waits(`clock_timestamp() - xact_start > '1.2 s'`)]);
    await blocker.query('COMMIT');
    await migrated;
    expect(await stateOf('later_second')).toMatchObject({ valid: true });
    expect(await stateOf('outdated')).toBeUndefined();
  });

  test.each([
    { limit: 'statement_timeout', other: 'transaction_timeout' },
    { limit: 'transaction_timeout', other: 'statement_timeout' },
  ])('behind a pooler that keeps $limit one line says what to do', async ({ limit, other }) => {
    await setLimits({ [limit]: '1s', [other]: '0' });
    const pooler = await startStrippingPooler(testDatabaseUrl(name));
    await blocker.query('DROP INDEX later_second');
    await forget('LaterIndexes');
    const before = [await stateOf('later_first'), await stateOf('later_third')];
    await blocker.query(CHARGES_ARE_WRITTEN);
    const ended = await migrateFurther(pooler.url).catch((error) => error);
    await blocker.query('COMMIT');
    expect(ended).toBeInstanceOf(MigrationOutOfTime);
    expect(ended.message).toMatch(
      new RegExp(`^A migration was ended by ${limit} = 1s: the pooler .* DATABASE_URL: .*\\.$`),
    );
    expect(await stateOf('later_second')).toMatchObject({ valid: false });
    await migrateFurther(testDatabaseUrl(name));
    expect(await stateOf('later_second')).toMatchObject({ valid: true });
    const after = [await stateOf('later_first'), await stateOf('later_third')];
    expect(after).toEqual(before); // not built a second time
    pooler.close();
  });
});
