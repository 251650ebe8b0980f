import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  drained,
  holdWriters,
  skipPauses,
  untilWaiting,
  startShop,
  type Shop,
} from '../effects/effects.support.js';
import { expectCleanBooks } from '../support/books.js';
import { startReceiver, type Receiver } from '../support/receiver.js';
import type { Running } from '../support/service.js';
import { until } from '../support/until.js';
import {
  deliveriesOf,
  deliveryOf,
  forgetEndpoints,
  happen,
  LATER,
  newEndpoint,
  underWay,
} from './webhooks.support.js';

/** A delivery is sent at its time, and by the one worker that claims it. */
let shop: Shop;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  shop = await startShop({ WEBHOOK_TIMEOUT_MS: '15000' }); // the longest: an attempt lasts until its answer
  await shop.startWorker();
});
beforeEach(() => forgetEndpoints(shop.db));
afterAll(() => expectCleanBooks(shop));
afterAll(async () => {
  await shop.stop();
  await receiver.stop();
});

describe('two workers in parallel', () => {
  let second: Running;
  beforeAll(async () => {
    second = await shop.startWorker();
  });
  afterAll(() => second.stop());
  afterEach(() => shop.db.query('DROP FUNCTION IF EXISTS no_claim CASCADE'));

  test('deliver once: both see that it is due, and one claims it', async () => {
    const letGo = await holdWriters(shop, 'webhook_deliveries', 'write', 'NEW.attempts = 1');
    const endpoint = await newEndpoint(shop, receiver);
    await happen(shop);
    await untilWaiting(shop.db, 'UPDATE webhook_deliveries', 2);
    await letGo();
    await drained(shop.db);
    expect(await deliveryOf(shop.db, endpoint)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(receiver.at(endpoint.path)).toHaveLength(1);
  });

  test('deliver twice if a claim does not postpone the next attempt (control)', async () => {
    await shop.db.query(`
      CREATE FUNCTION no_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.next_attempt_at := OLD.next_attempt_at; RETURN NEW; END $$`);
    await shop.db.query(`
      CREATE TRIGGER no_claim BEFORE UPDATE ON webhook_deliveries
      FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION no_claim()`);
    const { endpoint, answer } = await underWay(shop, receiver);
    await receiver.received(endpoint.path, 2);
    answer();
    await drained(shop.db);
    expect(receiver.at(endpoint.path)).toHaveLength(2);
  });
});

test('a failed delivery is not retried before its time, even if others to its endpoint are sent', async () => {
  const endpoint = await newEndpoint(shop, receiver);
  receiver.answer(endpoint.path, (response) => response.writeHead(503, LATER).end());
  const first = await happen(shop);
  await until(async () => Number((await deliveryOf(shop.db, endpoint)).pause) > 3_000);
  receiver.answer(endpoint.path, (response) => response.end());
  await happen(shop);
  await receiver.received(endpoint.path, 2);
  await drained(shop.db);
  const attempts = (await deliveriesOf(shop.db, endpoint)).map((each) => each.attempts);
  expect(attempts).toEqual([1, 1]);
  await skipPauses(shop.db);
  await drained(shop.db);
  const ended = { event_id: first, status: 'succeeded', attempts: 2 };
  expect(await deliveryOf(shop.db, endpoint)).toMatchObject(ended);
  expect(receiver.at(endpoint.path)).toHaveLength(3);
});
