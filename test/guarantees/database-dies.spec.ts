import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { ensureDemoAccounts } from '../../src/accounts/demo-accounts.js';
import type { ProbePoint } from '../../src/idempotency/operation.js';
import {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../../src/platform/embedded-postgres.js';
import { signal } from '../../src/platform/processes.js';
import type { ApiProcess } from '../support/api-process.js';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { copyCluster } from '../support/database.js';
import { charge, chargeUntilAnswered, lookUp, type Reply } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';

/**
 * PostgreSQL is killed (kill -9) at each point that a charge passes. A cluster of its own, with full durability: one that
 * forgets commits would prove nothing. The processor keeps its ledger elsewhere, as Stripe does.
 */
let service: Service;
let home: string;
let server: EmbeddedPostgres;
let api: ApiProcess;
beforeAll(async () => {
  service = await startService();
  home = await mkdtemp(join(tmpdir(), 'charge-once-dies-'));
  await chmod(home, 0o755); // under root the server is another user's
  await copyCluster(join(home, 'postgres'));
  server = await startEmbeddedPostgres({
    dataDir: join(home, 'postgres'),
    database: 'charge_once',
  });
  await ensureDemoAccounts(server.url);
  api = await service.startApiProcess({ naps: true, env: { DATABASE_URL: server.url } });
});
afterAll(async () => {
  try {
    await expectCleanBooks({ databaseUrl: server.url, sandboxUrl: service.sandboxUrl });
  } finally {
    await service.stop();
    await server.stop();
    await rm(home, { recursive: true, force: true });
  }
});

const KILLS = {
  /** The postmaster ends all sessions and recovers. */
  async 'one backend'(): Promise<void> {
    const [session] = await query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'charge-once'
       ORDER BY state = 'idle in transaction' DESC LIMIT 1`,
    );
    signal(session!.pid, 'SIGKILL');
    await until(async () => !(await sessionsOf(session!.pid)));
  },
  async 'the server'(): Promise<void> {
    await killServer();
    await restartServer();
  },
};

async function killServer(): Promise<void> {
  signal(server.pid, 'SIGKILL');
  await server.exited;
}

async function restartServer(): Promise<void> {
  const { dataDir, port } = server;
  server = await startEmbeddedPostgres({ dataDir, port, database: 'charge_once' });
}

async function query<Row extends pg.QueryResultRow>(
  sql: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: server.url });
  client.on('error', () => undefined); // it may be killed along with the others
  await client.connect();
  try {
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

const sessionsOf = async (pid: number) =>
  (await query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])).length > 0;
const endLeases = () =>
  query(`UPDATE idempotency_records SET lease_expires_at = now() WHERE state = 'in_progress'`);

/** A charge that has come as far as that point, and no further. */
async function stopAt(point: ProbePoint, key: string, how?: 'noticing'): Promise<Promise<Reply>[]> {
  await api.napAt(point, how);
  const reply = charge(api.url, key);
  await api.asleep();
  return [reply]; // in an array, because it is not to be awaited yet
}

const POINTS: ProbePoint[] = [
  'before-reserve',
  'record-written',
  'reserve-written',
  'after-reserve',
  'before-perform',
  'after-perform',
  'settle-written',
  'after-settle',
];
const IN_A_TRANSACTION: ProbePoint[] = ['record-written', 'reserve-written', 'settle-written'];

describe.each(Object.keys(KILLS) as (keyof typeof KILLS)[])('kill -9 of %s', (victim) => {
  test.each(POINTS)('at %s costs one payment and the client gets its 201', (point) =>
    killAt(point),
  );

  // Told by an event between two statements, not by the failure of the next one.
  test.each(IN_A_TRANSACTION)('at %s is the same when the API hears of it at once', (point) =>
    killAt(point, 'noticing'),
  );

  async function killAt(point: ProbePoint, how?: 'noticing'): Promise<void> {
    const key = [victim, point, how].join(' ');
    const [reply] = await stopAt(point, key, how);
    await KILLS[victim]();
    api.wake();

    const answer = await reply!;
    expect(answer).toMatchObject({ status: 201, body: { status: 'succeeded' } });
    expect((await chargeUntilAnswered(api.url, key)).text).toBe(answer.text);
    expect(await paymentsOf(service.sandboxUrl, answer.body.id)).toHaveLength(1);
  }
});

describe('a server that stays away for longer than a request waits', () => {
  test.each([
    ['before-reserve', 503, 'database_unavailable', 404],
    ['reserve-written', 503, 'outcome_unknown', 404],
    ['after-perform', 503, 'outcome_unknown', 200],
    ['settle-written', 503, 'outcome_unknown', 200],
  ] as const)('at %s is %d %s, and the retry ends it', async (point, status, code, found) => {
    const key = `away ${point}`;
    const [reply] = await stopAt(point, key);
    await killServer();
    api.wake();
    expect(await reply).toMatchObject({ status, body: { code, retry: 'same_key' } });
    await restartServer();
    await until(async () => (await lookUp(api.url, key)).status === found);
    await endLeases();
    const ended = await chargeUntilAnswered(api.url, key);
    expect(ended.status).toBe(201);
    expect(await paymentsOf(service.sandboxUrl, ended.body.id)).toHaveLength(1);
  });

  test('during the settling of a stored answer changes nothing: acknowledged is acknowledged', async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `busy ${i}`);
    const acknowledged = new Map<string, Reply>();
    const clients = keys.map(async (key) => {
      const reply = await charge(api.url, key).catch(() => undefined);
      if (reply?.status === 201) acknowledged.set(key, reply);
    });
    await until(async () => acknowledged.size > 3); // in the middle of it
    await killServer();
    await Promise.all(clients);
    await restartServer();
    await endLeases();
    for (const key of keys) {
      const reply = await chargeUntilAnswered(api.url, key);
      expect(reply.status).toBe(201);
      if (acknowledged.has(key)) expect(reply.text).toBe(acknowledged.get(key)!.text);
    }
  });
});

test('a server that comes back as a standby is not used until it is promoted', async () => {
  await server.stop();
  await writeFile(join(server.dataDir, 'standby.signal'), '');
  await restartServer();
  expect(await query('SELECT pg_is_in_recovery() AS standby')).toEqual([{ standby: true }]);
  const ready = async () => (await fetch(`${api.url}/health/ready`)).status;
  expect(await ready()).toBe(503);
  expect(await charge(api.url, 'standby')).toMatchObject({
    status: 503,
    body: { code: 'database_unavailable', retry: 'same_key' },
  });
  await query('SELECT pg_promote()');
  expect(await ready()).toBe(200);
  const reply = await charge(api.url, 'standby');
  expect(reply.status).toBe(201);
  expect(await paymentsOf(service.sandboxUrl, reply.body.id)).toHaveLength(1);
});
