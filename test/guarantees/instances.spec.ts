import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { dieAt, type ApiProcess } from '../support/api-process.js';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { charge, chargeUntilAnswered, lookUp, type Reply } from '../support/raw-client.js';
import { findPgbouncer, startPgbouncer } from '../support/pgbouncer.js';
import { startService, type Service } from '../support/service.js';
import { endLease } from '../support/time.js';
import { until } from '../support/until.js';
import { chargeOf } from '../support/ways.js';

/** The API is stateless: any number of processes on one PostgreSQL are one API. */
let service: Service;
let four: ApiProcess[];
beforeAll(async () => {
  service = await startService({ env: { DATABASE_POOL_SIZE: '5' } });
  four = await Promise.all([1, 2, 3, 4].map(() => service.startApiProcess()));
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

/** The longest wait that a client may ask for. */
const PATIENT = { headers: { prefer: 'wait=30' } };

async function expectOneCharge(replies: Reply[], key: string): Promise<void> {
  expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 201));
  expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
  const first = replies.filter(({ headers }) => headers['idempotent-replayed'] === undefined);
  expect(first).toHaveLength(1);
  const { id } = replies[0]!.body;
  expect(service.gate.attempts(id)).toBe(1);
  expect((await lookUp(service.apiUrl, key)).body.attempts).toBe(1);
  expect(await paymentsOf(service.sandboxUrl, id)).toHaveLength(1);
}

describe.each([2, 4])('%d processes', (count) => {
  test('handle forty concurrent requests with one key: one charge, one answer', async () => {
    const key = `${count} at once`;
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, i) => charge(four[i % count]!.url, key, {}, PATIENT)),
    );
    await expectOneCharge(replies, key);
  });

  test('handle twenty keys in parallel, each on every process: twenty charges', async () => {
    const keys = Array.from({ length: 20 }, (_, i) => `${count} each ${i}`);
    await Promise.all(
      keys.map(async (key) => {
        const instances = four.slice(0, count);
        const replies = await Promise.all(
          instances.map(({ url }) => charge(url, key, {}, PATIENT)),
        );
        await expectOneCharge(replies, key);
      }),
    );
  });
});

describe('a process that dies in the middle of a charge', () => {
  const CASES = [
    ['after-reserve', 'one statement'],
    ['after-perform', 'one statement'],
    ['after-reserve', 'a transaction'],
    ['settle-written', 'a transaction'],
  ] as const;
  const bodies = new Map<string, Record<string, unknown>>();
  beforeAll(async () => {
    const dying = await service.startApiProcess({ diesWith: CASES.length });
    const sent = CASES.map(async ([point, way]) => {
      const key = `${point} ${way}`;
      bodies.set(key, await chargeOf(way, service.apiUrl, key));
      return charge(dying.url, key, bodies.get(key), dieAt(point));
    });
    const ends = await Promise.allSettled(sent);
    expect(ends.map(({ status }) => status)).toEqual(CASES.map(() => 'rejected'));
    await dying.death;
    // Each test ends a lease while requests wait for it; no lease may end before that.
    await service.db.query(
      `UPDATE idempotency_records SET lease_expires_at = clock_timestamp() + interval '1 hour'
       WHERE state = 'in_progress'`,
    );
  });

  test.each(CASES)(
    'at %s, written by %s: when its lease expires, one of the waiting requests takes over and charges',
    async (point, way) => {
      const key = `${point} ${way}`;
      const waiting = four.map(({ url }) => charge(url, key, bodies.get(key), PATIENT));
      await endLease(service.db, key);
      const replies = await Promise.all(waiting);
      expect(new Set(replies.map(({ status, text }) => status + text)).size).toBe(1);
      expect(replies[0]).toMatchObject({ status: 201, body: { status: 'succeeded' } });
      expect((await lookUp(service.apiUrl, key)).body.attempts).toBe(2);
      expect(await paymentsOf(service.sandboxUrl, replies[0]!.body.id)).toHaveLength(1);
    },
  );
});

test('two workers sweep in parallel: every unfinished charge ends, and one worker makes each attempt', async () => {
  const { apiUrl, db, gate, sandboxUrl } = service;
  const keys = Array.from({ length: 20 }, (_, i) => `swept ${i}`);
  gate.be('losing');
  const left = await Promise.all(keys.map((key) => charge(apiUrl, key)));
  gate.be('open');
  expect(left.map(({ status }) => status)).toEqual(keys.map(() => 504));
  const workers = [await service.startWorker(), await service.startWorker()];
  await until(async () => {
    const { rows } = await db.query(`SELECT 1 FROM charges WHERE status = 'pending'`);
    return rows.length === 0;
  });
  await Promise.all(workers.map((worker) => worker.stop()));
  for (const [i, { body }] of left.entries()) {
    expect((await lookUp(apiUrl, keys[i]!)).body).toMatchObject({
      state: 'completed',
      attempts: 2,
    });
    expect(await paymentsOf(sandboxUrl, body.charge)).toHaveLength(1);
  }
});

const pgbouncer = findPgbouncer();
if (!pgbouncer)
  console.log('skipped: PgBouncer is not installed here (Debian: apt install pgbouncer)');
(pgbouncer ? describe : describe.skip)('behind PgBouncer in transaction mode', () => {
  let bouncer: { url: string; stop(): Promise<void> };
  let two: ApiProcess[] | undefined;
  beforeAll(async () => {
    bouncer = await startPgbouncer(pgbouncer ?? '', service.databaseUrl);
    const env = { DATABASE_URL: bouncer.url };
    two = await Promise.all([1, 2].map(() => service.startApiProcess({ env })));
  });
  afterAll(async () => {
    await Promise.all((two ?? []).map((api) => api.kill()));
    await bouncer.stop();
  });

  test('forty concurrent requests with one key make one charge', async () => {
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, i) => charge(two![i % 2]!.url, 'bounced', {}, PATIENT)),
    );
    await expectOneCharge(replies, 'bounced');
  });

  test('sixty concurrent charges share four connections', async () => {
    const replies = await Promise.all(
      Array.from({ length: 60 }, (_, i) => charge(two![i % 2]!.url, `bounced ${i}`)),
    );
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 201));
    expect(new Set(replies.map(({ body }) => body.id)).size).toBe(60);
  });

  test('a lost answer, a decline and a crash end as without a pooler', async () => {
    const [one, other] = two as [ApiProcess, ApiProcess];
    const lost = charge(one.url, 'lost', {}, { headers: { 'lab-fault': 'lose-response' } });
    await expect(lost).rejects.toThrow();
    expect((await charge(other.url, 'lost')).headers['idempotent-replayed']).toBe('true');
    const declined = { payment_method: 'pm_card_visa_chargeDeclined' };
    const first = await charge(one.url, 'declined', declined);
    expect((await charge(other.url, 'declined', declined)).text).toBe(first.text);
    const env = { DATABASE_URL: bouncer.url };
    const ways = [
      ['after-perform', 'one statement'],
      ['settle-written', 'a transaction'],
    ] as const;
    const dying = await service.startApiProcess({ diesWith: ways.length, env });
    const crashed = ways.map(async ([point, way]) => {
      const key = `crashed ${way}`;
      const body = await chargeOf(way, one.url, key);
      await expect(charge(dying.url, key, body, dieAt(point))).rejects.toThrow();
      return { key, body };
    });
    for (const { key, body } of await Promise.all(crashed)) {
      await endLease(service.db, key);
      const ended = await chargeUntilAnswered(one.url, key, body);
      expect(ended.status).toBe(201);
      expect(await paymentsOf(service.sandboxUrl, ended.body.id)).toHaveLength(1);
    }
  });
});
