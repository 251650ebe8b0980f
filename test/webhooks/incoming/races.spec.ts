import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { ProbePoint } from '../../support/internals.js';
import { napAt, type ApiProcess } from '../../support/api-process.js';
import { expectCleanBooks, paymentsOf } from '../../support/books.js';
import { chargeAsleep } from '../../support/charge-asleep.js';
import { statementsHeld } from '../../support/held-statement.js';
import { charge, lookUp, type Reply } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';
import { age, forgetAtProcessor } from '../../support/time.js';
import { until } from '../../support/until.js';
import { chargeOf, WAYS } from '../../support/ways.js';
import {
  deliver,
  event,
  lostPayment,
  paymentOf,
  parked,
  startListening,
  statesOf,
  statusOf,
  notify,
  eventTypesOf,
  type StripeEvent,
} from './incoming.support.js';

/**
 * The notification, the lease holder and recovery have the same outcome at the same time. The first one writes it; the
 * others find it done: one event, one answer, and every replay has its bytes.
 */
let service: Service;
let sleeper: ApiProcess;
beforeAll(async () => {
  service = await startListening({ IDEMPOTENCY_WAIT_MS: '30000' });
  sleeper = await service.startApiProcess({ naps: true });
});
afterEach(() => service.stopWorkers());
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

/** A charge whose holder sleeps at that point, after the processor took the money, and its notification. */
async function fallAsleep(at: ProbePoint, key: string, body = {}) {
  const { id, reply } = await chargeAsleep(service.db, sleeper, at, key, body);
  return { id, reply, news: await newsOf(id) };
}

const newsOf = async (id: string): Promise<StripeEvent> =>
  event('payment_intent.succeeded', await paymentOf(service, { id }));

async function expectOneEnd(id: string, key: string, replies: Reply[], body = {}): Promise<void> {
  const replay = await charge(service.apiUrl, key, body);
  expect(replay).toMatchObject({ status: 201, body: { id, status: 'succeeded' } });
  expect(replay.headers['idempotent-replayed']).toBe('true');
  for (const reply of replies) expect(reply.text).toBe(replay.text);
  expect(await eventTypesOf(service, id)).toEqual(['charge.succeeded']);
  expect(await paymentsOf(service.sandboxUrl, id)).toHaveLength(1);
  expect(await parked(service, id)).toEqual([]);
}

describe('the notification and the holder of the lease', () => {
  test.each(WAYS)(
    'the notification is first: the holder writes nothing (%s) and replays',
    async (way) => {
      const key = `notified first ${way}`;
      const body = await chargeOf(way, service.apiUrl, key);
      const { id, reply, news } = await fallAsleep('after-perform', key, body);
      await notify(service.apiUrl, news);
      expect(await statusOf(service, id)).toBe('succeeded');
      const stored = (await lookUp(service.apiUrl, key)).text;
      sleeper.wake();
      const late = await reply;
      expect(late.headers['idempotent-replayed']).toBe('true');
      await expectOneEnd(id, key, [late], body);
      expect((await lookUp(service.apiUrl, key)).text).toBe(stored);
    },
  );

  test('the holder is first but has not committed: the notification waits and finds it done', async () => {
    const body = await chargeOf('a transaction', service.apiUrl, 'settled first');
    const { id, reply, news } = await fallAsleep('settle-written', 'settled first', body);
    const waiting = deliver(service.apiUrl, JSON.stringify(news));
    await until(async () => (await connectionsHeldUp()) === 1);
    sleeper.wake();
    await expectHolderFirst(id, 'settled first', { reply, waiting, news, body });
  });

  test('the holder is first but its single statement has not ended: the notification waits', async () => {
    const { id, reply, news } = await fallAsleep('after-perform', 'statement first');
    // The statement has written the record and waits for the charge.
    const release = await block('SELECT FROM charges WHERE id = $1 FOR UPDATE', [id]);
    sleeper.wake();
    await until(async () => (await connectionsHeldUp()) === 1);
    const waiting = deliver(service.apiUrl, JSON.stringify(news));
    await until(async () => (await connectionsHeldUp()) === 2);
    await release();
    await expectHolderFirst(id, 'statement first', { reply, waiting, news });
  });

  async function expectHolderFirst(
    id: string,
    key: string,
    of: { reply: Promise<Reply>; waiting: Promise<Reply>; news: StripeEvent; body?: object },
  ): Promise<void> {
    const first = await of.reply;
    expect(first.headers).not.toHaveProperty('idempotent-replayed');
    expect((await of.waiting).status).toBe(200);
    expect(await statesOf(service, of.news.id)).toEqual(['applied']);
    await expectOneEnd(id, key, [first], of.body);
  }

  test.each(WAYS)(
    'the notification is first but has not committed: the holder (%s) waits and finds it done',
    async (way) => {
      const key = `both at once ${way}`;
      const body = await chargeOf(way, service.apiUrl, key);
      const { id, reply, news } = await fallAsleep('after-perform', key, body);
      // It stops at the event that it wants to insert.
      const release = await block('LOCK TABLE events IN EXCLUSIVE MODE');
      const delivered = deliver(service.apiUrl, JSON.stringify(news));
      await until(async () => (await connectionsHeldUp()) === 1);
      sleeper.wake();
      await until(async () => (await connectionsHeldUp()) === 2);
      await release();
      expect((await delivered).status).toBe(200);
      const late = await reply;
      expect(late.headers['idempotent-replayed']).toBe('true');
      await expectOneEnd(id, key, [late], body);
    },
  );

  test('a duplicate that waits for the holder gets the notification’s answer', async () => {
    const { id, reply, news } = await fallAsleep('after-perform', 'with a duplicate');
    const duplicate = charge(service.apiUrl, 'with a duplicate');
    await notify(service.apiUrl, news);
    const waited = await duplicate;
    expect(waited.status).toBe(201);
    sleeper.wake();
    await expectOneEnd(id, 'with a duplicate', [waited, await reply]);
  });

  test('the lease is released and the 504 not yet sent: the retry gets the notification’s answer', async () => {
    const { pending, news } = await lostPayment(service, 'after the 504');
    await notify(service.apiUrl, news);
    const { attempts } = (await lookUp(service.apiUrl, 'after the 504')).body;
    await expectOneEnd(pending.id, 'after the 504', []);
    expect(attempts).toBe(1); // the processor was not called again
  });
});

describe('the notification and recovery', () => {
  test('the notification is first while the sweep calls the processor: the sweep writes nothing', async () => {
    const { gate } = service;
    const { pending, news } = await lostPayment(service, 'swept');
    const open = gate.close();
    const before = gate.attempts(pending.id);
    const worker = await service.startWorker();
    await until(async () => gate.attempts(pending.id) > before); // the sweep's call waits at the gate
    await notify(service.apiUrl, news);
    const written = await recordOf(pending.id);
    open();
    await worker.stop();
    expect(await recordOf(pending.id)).toEqual(written);
    await expectOneEnd(pending.id, 'swept', []);
  });

  test('the sweep is first: the notification finds it done', async () => {
    const { pending, news } = await lostPayment(service, 'swept first');
    await service.startWorker();
    await until(async () => (await statusOf(service, pending.id)) === 'succeeded');
    const written = await recordOf(pending.id);
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual(['applied']);
    expect(await recordOf(pending.id)).toEqual(written);
    await expectOneEnd(pending.id, 'swept first', []);
  });

  test('twenty charges end once, each by the sweep, one of two retries or one of two notifications', async () => {
    const keys = Array.from({ length: 20 }, (_, index) => `crowd ${index}`);
    service.gate.be('losing');
    const lost = await Promise.all(keys.map((key) => charge(service.apiUrl, key)));
    service.gate.be('open');
    const ids = lost.map(({ body }) => body.charge);
    const news = await Promise.all(ids.map(newsOf));
    await service.startWorker();
    await Promise.all(
      keys.flatMap((key, index) => [
        charge(service.apiUrl, key),
        notify(sleeper.url, news[index]!),
        charge(sleeper.url, key),
        notify(service.apiUrl, { ...news[index]!, id: `${news[index]!.id}x` }),
      ]),
    );
    for (const [index, id] of ids.entries()) await expectOneEnd(id, keys[index]!, []);
  });
});

describe('a holder that has lost its lease has a success', () => {
  test('and the new holder, which believes that nothing happened, has not settled: the success counts', async () => {
    const { db } = service;
    const { id, reply } = await fallAsleep('after-perform', 'late success');
    // The processor forgets the key, which defeats the fence, and the payment is outside of the span that is read.
    await forgetAtProcessor(db, id);
    await db.query(
      `UPDATE sandbox.payment_intents SET created_at = created_at - interval '2 hours'
       WHERE metadata ->> 'charge' = $1`,
      [id],
    );
    await age(db, id, PAST_THE_DEADLINE);
    const successor = await service.startApiProcess({ naps: true });
    const second = charge(successor.url, 'late success', {}, napAt('after-perform'));
    await successor.asleep();
    expect(await statusOf(service, id)).toBe('pending');

    sleeper.wake();
    const late = await reply;
    expect(late).toMatchObject({ status: 201, body: { id, status: 'succeeded' } });
    successor.wake();
    const overtaken = await second;
    expect(overtaken).toMatchObject({ status: 201, text: late.text });
    await expectOneEnd(id, 'late success', [late, overtaken]);
    await successor.kill();
  });
});

const PAST_THE_DEADLINE = 301;

const recordOf = async (id: string) =>
  (await service.db.query('SELECT * FROM idempotency_records WHERE resource_id = $1', [id]))
    .rows[0];

/** Locks in another session. @returns the function that releases it. */
async function block(sql: string, values: unknown[] = []): Promise<() => Promise<void>> {
  const blocker = new pg.Client({ connectionString: service.databaseUrl });
  await blocker.connect();
  await blocker.query('BEGIN');
  await blocker.query(sql, values);
  return () => blocker.end();
}

const connectionsHeldUp = () => statementsHeld(service.databaseUrl);
