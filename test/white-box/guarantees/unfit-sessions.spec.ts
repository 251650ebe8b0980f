import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import type { DataSource } from 'typeorm';
import { openQueuePool } from '../../../src/jobs/queue-pool.js';
import { expectCleanBooks, paymentsOf } from '../../support/books.js';
import { openPool, testDatabaseUrl } from '../../support/database.js';
import { charge, lookUp, send } from '../../support/raw-client.js';
import { startService, type Running, type Service } from '../../support/service.js';

/** An API with its own database role, which the test can change without affecting the rest. */
const role = `clerk_${randomBytes(5).toString('hex')}`;
let service: Service;
let api: Running;
let admin: pg.Pool;
let database: string;
beforeAll(async () => {
  service = await startService();
  admin = openPool(testDatabaseUrl('postgres'));
  const url = new URL(service.databaseUrl);
  database = url.pathname.slice(1);
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'right' IN ROLE "${url.username}"`);
  [url.username, url.password] = [role, 'right'];
  api = await service.startApi({ DATABASE_URL: url.href });
});
afterAll(async () => {
  await expectCleanBooks(service);
  await service.stop();
  await admin.query(`DROP ROLE ${role}`);
  await admin.end();
});

const endSessions = () =>
  admin.query(
    `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '${role}'`,
  );
const ready = async () => (await send(`${api.url}/health/ready`)).status;

async function expectNothingDone(key: string): Promise<void> {
  expect(await charge(api.url, key)).toMatchObject({
    status: 503,
    body: { code: 'database_unavailable', retry: 'same_key' },
  });
  expect(await send(`${api.url}/charges`)).toMatchObject({
    status: 503,
    body: { code: 'database_unavailable' },
  });
  expect(await ready()).toBe(503);
  expect((await lookUp(service.apiUrl, key)).status).toBe(404);
}

describe('a login that is refused while the API runs has no effect', () => {
  test.each([
    ['28P01', `ALTER ROLE ${role} PASSWORD 'rotated'`, `ALTER ROLE ${role} PASSWORD 'right'`],
    ['28000', `ALTER ROLE ${role} NOLOGIN`, `ALTER ROLE ${role} LOGIN`],
    ['53300', `ALTER ROLE ${role} CONNECTION LIMIT 0`, `ALTER ROLE ${role} CONNECTION LIMIT -1`],
    [
      '55000',
      `ALTER DATABASE $ ALLOW_CONNECTIONS false`,
      `ALTER DATABASE $ ALLOW_CONNECTIONS true`,
    ],
    [
      '25006',
      `ALTER ROLE ${role} SET default_transaction_read_only = on`,
      `ALTER ROLE ${role} RESET ALL`,
    ],
  ])('with SQLSTATE %s', async (code, change, undo) => {
    await service.db.query('SELECT 1'); // opens its connection before logins are refused
    await admin.query(change.replace('$', database));
    try {
      await endSessions();
      if (code !== '55000') await expectNothingDone(code);
      else expect(await charge(api.url, code)).toMatchObject({ status: 503 });
    } finally {
      await admin.query(undo.replace('$', database));
    }
    expect(await ready()).toBe(200);
    expect((await charge(api.url, code)).status).toBe(201);
  });
});

/** As after a failover, or on a full managed server: the sessions live on, but are read-only. */
async function makeReadOnly(dataSource: DataSource, sessions = 3): Promise<void> {
  const runners = Array.from({ length: sessions }, () => dataSource.createQueryRunner());
  await Promise.all(runners.map((runner) => runner.connect()));
  for (const runner of runners)
    await runner.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY');
  await Promise.all(runners.map((runner) => runner.release()));
}

describe('sessions that become read-only without ending', () => {
  test('are replaced while a charge is reserved', async () => {
    await makeReadOnly(api.dataSource);
    expect((await charge(api.url, 'reserved')).status).toBe(201);
  });

  test('are replaced while a charge is settled', async () => {
    const open = service.gate.close();
    const reply = charge(api.url, 'settled');
    await service.gate.held(1);
    await makeReadOnly(api.dataSource);
    open();
    const { status, body } = await reply;
    expect(status).toBe(201);
    expect(await paymentsOf(service.sandboxUrl, body.id)).toHaveLength(1);
  });

  test('are replaced by a readiness probe', async () => {
    await makeReadOnly(api.dataSource);
    expect(await ready()).toBe(200);
  });

  test('are replaced in the queue’s pool, which retries', async () => {
    const pool = openQueuePool(service.databaseUrl, 2);
    const sessions = await Promise.all([pool.connect(), pool.connect()]);
    for (const session of sessions)
      await session.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY');
    const [first, second] = sessions;
    second.release();
    const write = 'UPDATE charges SET amount = amount WHERE false';
    await expect(first.query(write)).rejects.toMatchObject({ code: '57P03' });
    first.release();
    expect(pool.totalCount).toBe(0);
    await pool.query(write);
    await pool.end();
  });
});

test('a session commits to disk and lives at most five minutes', async () => {
  // The tests' cluster has synchronous_commit off.
  expect(await api.dataSource.query('SHOW synchronous_commit')).toEqual([
    { synchronous_commit: 'on' },
  ]);
  const { master } = api.dataSource.driver as unknown as { master: pg.Pool };
  expect(master.options).toMatchObject({ maxLifetimeSeconds: 300 });
});
