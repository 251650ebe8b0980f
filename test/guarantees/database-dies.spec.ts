import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import {
  deriveId,
  ensureDemoAccounts,
  signal,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type ProbePoint,
} from '../support/internals.js';
import type { ApiProcess } from '../support/api-process.js';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { copyCluster } from '../support/database.js';
import type { Beat } from '../support/database-proxy.js';
import { holdStatements } from '../support/held-statement.js';
import { charge, chargeUntilAnswered, lookUp, type Reply } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';
import { chargeOf, IN_A_TRANSACTION, type Way } from '../support/ways.js';

/**
 * PostgreSQL is killed (kill -9) at each point that a charge passes. The cluster is this file's own, with full
 * durability: one that loses commits would prove nothing. The processor keeps its ledger elsewhere, as Stripe does.
 */
let service: Service;
let home: string;
let server: EmbeddedPostgres;
let api: ApiProcess;
beforeAll(async () => {
  service = await startService();
  home = await mkdtemp(join(tmpdir(), 'charge-once-dies-'));
  await chmod(home, 0o755); // under root, the server runs as another user
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
       ORDER BY state = 'idle in transaction' DESC, wait_event_type = 'Lock' DESC LIMIT 1`,
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
  client.on('error', () => undefined); // the kill may end this session, too
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

const bodyOf = (way: Way, key: string) => chargeOf(way, api.url, key);

/** Starts a charge and holds it at that point. */
async function stopAt(
  point: ProbePoint,
  key: string,
  body: Record<string, unknown>,
  how?: 'noticing',
): Promise<Promise<Reply>[]> {
  await api.napAt(point, how);
  const reply = charge(api.url, key, body);
  await api.asleep();
  return [reply]; // in an array, so that it is not awaited yet
}

/** Starts a charge and holds it inside its single statement. */
async function stopWithin(beat: Beat, key: string): Promise<Promise<Reply>[]> {
  const [account] = await query<{ id: string }>(`SELECT id FROM accounts WHERE name = 'acme'`);
  const idOf = () => deriveId('ch', account!.id, 'POST /charges', key);
  const { gate } = service;
  const how = { apiUrl: api.url, databaseUrl: server.url, gate, beat, keys: [key], idOf };
  return (await holdStatements(how)).replies;
}

const POINTS: ProbePoint[] = [
  'before-reserve',
  'after-reserve',
  'before-perform',
  'after-perform',
  'after-settle',
];

describe.each(Object.keys(KILLS) as (keyof typeof KILLS)[])('kill -9 of %s', (victim) => {
  test.each(POINTS)('at %s costs one payment and the client gets its 201', (point) =>
    killAt(point),
  );

  test.each(IN_A_TRANSACTION)('at %s of a charge that pays an order: the same', (point) =>
    killAt(point, 'a transaction'),
  );

  // The `end` event reports the loss between two statements, before the next one can fail.
  test.each(IN_A_TRANSACTION)('at %s, when the API notices at once: the same', (point) =>
    killAt(point, 'a transaction', 'noticing'),
  );

  test.each(['reserve', 'settle'] as const)(
    'inside the single statement of %s: the same',
    async (beat) => {
      const key = `${victim} within ${beat}`;
      const [reply] = await stopWithin(beat, key);
      signal(api.pid, 'SIGSTOP'); // a start on a busy machine takes longer than a request waits for the database
      await KILLS[victim]();
      api.wake();
      await expectPaidOnce(await reply!, key);
    },
  );

  async function killAt(
    point: ProbePoint,
    way: Way = 'one statement',
    how?: 'noticing',
  ): Promise<void> {
    const key = [victim, point, way, how].join(' ');
    const body = await bodyOf(way, key);
    const [reply] = await stopAt(point, key, body, how);
    await KILLS[victim]();
    api.wake();
    await expectPaidOnce(await reply!, key, body);
  }

  async function expectPaidOnce(answer: Reply, key: string, body = {}): Promise<void> {
    expect(answer).toMatchObject({ status: 201, body: { status: 'succeeded' } });
    expect((await chargeUntilAnswered(api.url, key, body)).text).toBe(answer.text);
    expect(await paymentsOf(service.sandboxUrl, answer.body.id)).toHaveLength(1);
  }
});

describe('a server that is down for longer than a request waits', () => {
  test.each([
    // A single statement whose connection breaks may have been executed; a BEGIN has no effect.
    ['before-reserve', 'one statement', undefined, 503, 'outcome_unknown', 404],
    ['before-reserve', 'one statement', 'noticing', 503, 'database_unavailable', 404],
    ['before-reserve', 'a transaction', undefined, 503, 'database_unavailable', 404],
    ['reserve-written', 'a transaction', undefined, 503, 'outcome_unknown', 404],
    ['after-perform', 'one statement', undefined, 503, 'outcome_unknown', 200],
    ['settle-written', 'a transaction', undefined, 503, 'outcome_unknown', 200],
  ] as const)(
    'at %s, written by %s (%s): %d %s, and the retry finishes the charge',
    async (point, way, how, status, code, found) => {
      const key = `away ${point} ${way} ${how}`;
      const body = await bodyOf(way, key);
      const [reply] = await stopAt(point, key, body, how);
      await killServer();
      api.wake();
      expect(await reply).toMatchObject({ status, body: { code, retry: 'same_key' } });
      await expectRetryEnds(key, found, body);
    },
  );

  test.each([
    ['reserve', 404],
    ['settle', 200],
  ] as const)(
    'inside the single statement of %s: 503 outcome_unknown, and the retry finishes the charge',
    async (beat, found) => {
      const key = `away within ${beat}`;
      const [reply] = await stopWithin(beat, key);
      await killServer();
      const body = { code: 'outcome_unknown', retry: 'same_key' };
      expect(await reply).toMatchObject({ status: 503, body });
      await expectRetryEnds(key, found);
    },
  );

  /** @param found the status of a lookup of the key after the restart. */
  async function expectRetryEnds(key: string, found: 200 | 404, body = {}): Promise<void> {
    await restartServer();
    await until(async () => (await lookUp(api.url, key)).status === found);
    await endLeases();
    const ended = await chargeUntilAnswered(api.url, key, body);
    expect(ended.status).toBe(201);
    expect(await paymentsOf(service.sandboxUrl, ended.body.id)).toHaveLength(1);
  }

  test('during settles loses no acknowledged answer', async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `busy ${i}`);
    const acknowledged = new Map<string, Reply>();
    const clients = keys.map(async (key) => {
      const reply = await charge(api.url, key).catch(() => undefined);
      if (reply?.status === 201) acknowledged.set(key, reply);
    });
    await until(async () => acknowledged.size > 3); // while charges run
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

test('a server that restarts as a standby is not used until it is promoted', async () => {
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
