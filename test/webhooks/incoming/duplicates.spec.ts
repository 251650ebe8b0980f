import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { ApiProcess } from '../../support/api-process.js';
import { expectCleanBooks } from '../../support/books.js';
import { lossyProxy } from '../../support/lossy-proxy.js';
import { charge } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import {
  deliver,
  event,
  intent,
  lostPayment,
  parked,
  startListening,
  statesOf,
  statusOf,
  notify,
  eventTypesOf,
  type PendingCharge,
  type StripeEvent,
} from './incoming.support.js';

/**
 * An event id is applied once, however often it is delivered, to however many processes, and whichever of them dies.
 */
let service: Service;
let other: ApiProcess;
beforeAll(async () => {
  service = await startListening();
  other = await service.startApiProcess();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

async function expectAppliedOnce({ id }: PendingCharge, news: StripeEvent, key: string) {
  expect(await statesOf(service, news.id)).toEqual(['applied']);
  expect(await eventTypesOf(service, id)).toEqual(['charge.succeeded']);
  expect(await statusOf(service, id)).toBe('succeeded');
  const replay = await charge(service.apiUrl, key);
  expect(replay).toMatchObject({ status: 201, body: { id } });
  expect(replay.headers['idempotent-replayed']).toBe('true');
}

describe('an event that is delivered', () => {
  test('twice is applied once', async () => {
    const { pending, news } = await lostPayment(service, 'twice');
    await notify(service.apiUrl, news);
    const { rows: before } = await service.db.query('SELECT * FROM idempotency_records');
    await notify(service.apiUrl, news);
    const { rows: after } = await service.db.query('SELECT * FROM idempotency_records');
    expect(after).toEqual(before);
    await expectAppliedOnce(pending, news, 'twice');
  });

  test('fifty times in parallel, to two API processes, is applied once', async () => {
    const { pending, news } = await lostPayment(service, 'fifty');
    const text = JSON.stringify(news);
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, i) => deliver(i % 2 ? service.apiUrl : other.url, text)),
    );
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    await expectAppliedOnce(pending, news, 'fifty');
  });

  test('fifty times, each with a different id, is applied once', async () => {
    const { pending, news } = await lostPayment(service, 'fifty ids');
    const ids = Array.from({ length: 50 }, (_, i) => `${news.id}${i}`);
    await Promise.all(
      ids.map((id, i) => notify(i % 2 ? service.apiUrl : other.url, { ...news, id })),
    );
    for (const id of ids) expect(await statesOf(service, id)).toEqual(['applied']);
    await expectAppliedOnce(pending, { ...news, id: ids[0]! }, 'fifty ids');
  });

  test('again, because its answer was lost, is accepted', async () => {
    const { pending, news } = await lostPayment(service, 'lost acknowledgement');
    const network = await lossyProxy(service.apiUrl);
    network.next('lose-response');
    await expect(deliver(network.url, JSON.stringify(news))).rejects.toThrow();
    await until(async () => (await statesOf(service, news.id)).length === 1);
    await notify(network.url, news);
    await network.close();
    await expectAppliedOnce(pending, news, 'lost acknowledgement');
  });

  test('while the database refuses it leaves no row, and is applied when it is delivered again', async () => {
    const { pending, news } = await lostPayment(service, 'refused by the database');
    await service.db.query('ALTER TABLE events ADD CONSTRAINT none CHECK (false) NOT VALID');
    const refused = await deliver(service.apiUrl, JSON.stringify(news));
    await service.db.query('ALTER TABLE events DROP CONSTRAINT none');
    expect(refused).toMatchObject({ status: 500, body: { code: 'internal_error' } });
    expect(await statesOf(service, news.id)).toEqual([]);
    expect(await statusOf(service, pending.id)).toBe('pending');
    await notify(service.apiUrl, news);
    await expectAppliedOnce(pending, news, 'refused by the database');
  });
});

describe('an API process that is killed (SIGKILL) inside the transaction', () => {
  /** With each row, the lock that the test takes: the process waits for it when it is killed. */
  test.each([
    [
      'with the event written and nothing else',
      `SELECT 1 FROM idempotency_records WHERE resource_id = $1 FOR UPDATE`,
    ],
    ['with the record seized', `SELECT 1 FROM charges WHERE id = $1 FOR UPDATE`],
    ['with the charge ended', `LOCK TABLE events IN EXCLUSIVE MODE`],
  ])(
    '%s, leaves no row; the next delivery is applied once',
    async (where, lock) => {
      const { pending, news } = await lostPayment(service, where);
      const dying = await service.startApiProcess();
      const blocker = new pg.Client({ connectionString: service.databaseUrl });
      await blocker.connect();
      await blocker.query('BEGIN');
      await blocker.query(lock, lock.includes('$1') ? [pending.id] : []);

      const lost = deliver(dying.url, JSON.stringify(news)).catch(() => 'lost');
      await until(async () => (await heldUp()) === 1);
      expect(await dying.kill()).toBe('SIGKILL');
      expect(await lost).toBe('lost');
      await blocker.query('ROLLBACK');
      await blocker.end();
      await until(async () => (await heldUp()) === 0);
      expect(await statesOf(service, news.id)).toEqual([]);
      expect(await statusOf(service, pending.id)).toBe('pending');
      expect(await eventTypesOf(service, pending.id)).toEqual([]);

      await notify(other.url, news);
      await notify(service.apiUrl, news);
      await expectAppliedOnce(pending, news, where);
    },
    240_000,
  );

  test('is followed by a waiting delivery, which applies the event', async () => {
    const { pending, news } = await lostPayment(service, 'overtaken');
    const dying = await service.startApiProcess();
    const blocker = new pg.Client({ connectionString: service.databaseUrl });
    await blocker.connect();
    await blocker.query('BEGIN');
    await blocker.query('SELECT 1 FROM charges WHERE id = $1 FOR UPDATE', [pending.id]);
    const lost = deliver(dying.url, JSON.stringify(news)).catch(() => 'lost');
    await until(async () => (await heldUp()) === 1);
    const second = deliver(service.apiUrl, JSON.stringify(news));
    await until(async () => (await heldUp()) === 2); // waits for the row with the same id
    await dying.kill();
    await blocker.query('ROLLBACK');
    await blocker.end();
    expect(await lost).toBe('lost');
    expect((await second).status).toBe(200);
    await expectAppliedOnce(pending, news, 'overtaken');
  });

  /** How many of the service's connections wait for a lock. */
  async function heldUp(): Promise<number> {
    const { rows } = await service.db.query<{ count: number }>(
      `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'charge-once' AND wait_event_type = 'Lock'`,
    );
    return rows[0]!.count;
  }
});

describe('the same event again (control)', () => {
  let naive: Service;
  beforeAll(async () => {
    naive = await startListening();
    await naive.db.query('ALTER TABLE processor_events DROP CONSTRAINT processor_events_pkey');
  });
  afterAll(() => naive.stop());

  async function latePayment(key: string) {
    const { body } = await charge(naive.apiUrl, key, { payment_method: DECLINED });
    const { rows } = await naive.db.query<{ account: string }>(
      'SELECT account_id AS account FROM charges WHERE id = $1',
      [body.charge],
    );
    const failed = { id: body.charge, account: rows[0]!.account };
    return { failed, news: event('payment_intent.succeeded', intent(failed)) };
  }

  test('without the unique event id is accepted as often as it is delivered', async () => {
    const { failed, news } = await latePayment('naive');
    for (let i = 0; i < 10; i++) await notify(naive.apiUrl, news);
    expect(await statesOf(naive, news.id)).toHaveLength(10);
    // The second guard still works.
    expect(await parked(naive, failed.id)).toHaveLength(1);
  });

  test('without the unique event id and reference books the money twice', async () => {
    await naive.db.query('ALTER TABLE parked_payments DROP CONSTRAINT parked_payments_pkey');
    const { failed, news } = await latePayment('more naive');
    await notify(naive.apiUrl, news);
    await notify(naive.apiUrl, news);
    expect(await parked(naive, failed.id)).toHaveLength(2);
  });

  test('with both books the money once', async () => {
    await charge(service.apiUrl, 'guarded', { payment_method: DECLINED });
    const { rows } = await service.db.query<PendingCharge>(
      `SELECT id, account_id AS account FROM charges WHERE status = 'failed'`,
    );
    const failed = rows[0]!;
    const news = event('payment_intent.succeeded', intent(failed));
    await Promise.all(Array.from({ length: 50 }, () => notify(service.apiUrl, news)));
    expect(await statesOf(service, news.id)).toEqual(['parked']);
    expect(await parked(service, failed.id)).toHaveLength(1);
  });
});

const DECLINED = 'pm_card_visa_chargeDeclined';
