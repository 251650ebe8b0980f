import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import {
  ensureDemoAccounts,
  signal,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../support/internals.js';
import type { ApiProcess, Nap } from '../support/api-process.js';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { copyCluster } from '../support/database.js';
import { charge, chargeUntilAnswered, lookUp, type Reply } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';
import { IN_A_TRANSACTION } from '../support/ways.js';
import { keyOf, stopAt, stopWithin, within, type Case } from './held-charges.support.js';

/**
 * PostgreSQL is killed (kill -9) at each point that a charge passes. This file has its own cluster, with full
 * durability: one that loses commits would prove nothing. The processor keeps its ledger elsewhere, as Stripe does.
 */
let service: Service;
let home: string;
let server: EmbeddedPostgres;
let api: ApiProcess;
const SERVER = {
  database: 'charge_once',
  extraSettings: { shared_buffers: '8MB', max_connections: '30', io_method: 'sync' }, // to start with less CPU
};
beforeAll(async () => {
  service = await startService();
  home = await mkdtemp(join(tmpdir(), 'charge-once-dies-'));
  await chmod(home, 0o755); // under root, the server runs as another user
  await copyCluster(join(home, 'postgres'));
  server = await startEmbeddedPostgres({ ...SERVER, dataDir: join(home, 'postgres') });
  await ensureDemoAccounts(server.url);
  api = await service.startApiProcess({ naps: true, env: { DATABASE_URL: server.url } });
});
afterAll(() => expectCleanBooks({ databaseUrl: server.url, sandboxUrl: service.sandboxUrl }));
afterAll(async () => {
  await service.stop();
  await server.stop();
  await rm(home, { recursive: true, force: true });
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
  server = await startEmbeddedPostgres({ ...SERVER, dataDir, port });
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

/** What clients received, by key. */
type Answers = Map<string, { reply: Reply; body: Record<string, unknown> }>;

/**
 * Holds the cases' charges, and one inside the single statement of each beat. Then kills, and wakes the API. Each kill
 * interrupts all charges that can wait together.
 * @param afterwards runs when the clients have their answers.
 */
async function answersAfter(
  kill: () => Promise<void>,
  name: string,
  cases: Case[],
  afterwards = () => Promise.resolve(),
): Promise<Answers> {
  const answers: Answers = new Map();
  const casesOf = (nap: Nap) => cases.filter(({ how }) => how === nap);
  for (const hold of [
    () => stopAt(api, name, casesOf('unnoticed')),
    () => stopAt(api, name, casesOf('noticing')),
    () => stopWithin(api, name, { databaseUrl: server.url, gate: service.gate }),
  ]) {
    const held = await hold();
    await kill();
    api.wake();
    for (const { key, body, reply } of held) answers.set(key, { reply: await reply, body });
    await afterwards();
  }
  return answers;
}

const POINTS = [
  'before-reserve',
  'after-reserve',
  'before-perform',
  'after-perform',
  'after-settle',
] as const;
const CASES: Case[] = [
  ...POINTS.map((point) => ({ point, way: 'one statement', how: 'unnoticed' }) as const),
  ...IN_A_TRANSACTION.flatMap((point): Case[] => [
    { point, way: 'a transaction', how: 'unnoticed' },
    // The `end` event reports the loss between two statements, before the next one can fail.
    { point, way: 'a transaction', how: 'noticing' },
  ]),
];

describe.each(Object.keys(KILLS) as (keyof typeof KILLS)[])('kill -9 of %s', (victim) => {
  let answers: Answers;
  beforeAll(async () => {
    answers = await answersAfter(() => KILLS[victim](), victim, CASES);
  });

  test.each(CASES)(
    'at $point, written by $way ($how): one payment, and the client gets its 201',
    (of) => expectPaidOnce(keyOf(victim, of)),
  );

  test.each(['reserve', 'settle'] as const)(
    'inside the single statement of %s: one payment, and the client gets its 201',
    (beat) => expectPaidOnce(within(victim, beat)),
  );

  async function expectPaidOnce(key: string): Promise<void> {
    const { reply, body } = answers.get(key)!;
    expect(reply).toMatchObject({ status: 201, body: { status: 'succeeded' } });
    expect((await chargeUntilAnswered(api.url, key, body)).text).toBe(reply.text);
    expect(await paymentsOf(service.sandboxUrl, reply.body.id)).toHaveLength(1);
  }
});

describe('a server that is down for longer than a request waits', () => {
  const AWAY = [
    // A single statement whose connection breaks may have been executed; a BEGIN has no effect.
    ['before-reserve', 'one statement', 'unnoticed', 'outcome_unknown', 404],
    ['before-reserve', 'one statement', 'noticing', 'database_unavailable', 404],
    ['before-reserve', 'a transaction', 'unnoticed', 'database_unavailable', 404],
    ['reserve-written', 'a transaction', 'unnoticed', 'outcome_unknown', 404],
    ['after-perform', 'one statement', 'unnoticed', 'outcome_unknown', 200],
    ['settle-written', 'a transaction', 'unnoticed', 'outcome_unknown', 200],
  ] as const;
  let answers: Answers;
  beforeAll(async () => {
    const cases = AWAY.map(([point, way, how]) => ({ point, way, how }));
    answers = await answersAfter(killServer, 'away', cases, restartServer);
  });

  test.each(AWAY)(
    'at %s, written by %s (%s): 503 %s, and the retry finishes the charge',
    (point, way, how, code, found) =>
      expectRetryEnds(keyOf('away', { point, way, how }), code, found),
  );

  test.each([
    ['reserve', 404],
    ['settle', 200],
  ] as const)(
    'inside the single statement of %s: 503 outcome_unknown, and the retry finishes the charge',
    (beat, found) => expectRetryEnds(within('away', beat), 'outcome_unknown', found),
  );

  /** @param found the status of a lookup of the key after the restart. */
  async function expectRetryEnds(key: string, code: string, found: 200 | 404): Promise<void> {
    const { reply, body } = answers.get(key)!;
    expect(reply).toMatchObject({ status: 503, body: { code, retry: 'same_key' } });
    await until(async () => (await lookUp(api.url, key)).status === found);
    await endLeases();
    const ended = await chargeUntilAnswered(api.url, key, body);
    expect(ended.status).toBe(201);
    expect(await paymentsOf(service.sandboxUrl, ended.body.id)).toHaveLength(1);
  }

  test('during settles loses no acknowledged answer', async () => {
    const keys = Array.from({ length: 20 }, (_, i) => `busy ${i}`);
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
