import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { migrate, MigrationLockLost } from '../../src/platform/migrate.js';
import { testDatabaseUrl } from '../support/database.js';
import { until } from '../support/until.js';

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
  const client = new pg.Client({ connectionString });
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

test('afterwards they are run as if nothing had happened', async () => {
  await migrate(testDatabaseUrl(name));
  expect([await isThere('charges'), await isThere('graphile_worker._private_jobs')]).toEqual([
    true,
    true,
  ]);
});
