import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  buyAndLockTheOrder,
  drained,
  holdWriters,
  letLocksRunOut,
  untilWaiting,
  startShop,
  type Shop,
} from '../effects/effects.support.js';
import { expectCleanBooks } from '../support/books.js';
import { startReceiver, type Receiver } from '../support/receiver.js';
import type { Running } from '../support/service.js';
import { until } from '../support/until.js';
import type { WorkerProcess } from '../support/worker-process.js';
import {
  attemptsOf,
  deliveryOf,
  firstAttempt,
  forgetEndpoints,
  happen,
  newEndpoint,
  underWay,
  type TestEndpoint,
} from './webhooks.support.js';

/** A delivery reaches its merchant at least once, with one webhook-id, whatever happens to the workers. */
let shop: Shop;
let receiver: Receiver;
let worker: WorkerProcess;
beforeAll(async () => {
  receiver = await startReceiver();
  shop = await startShop({ WEBHOOK_TIMEOUT_MS: '15000' }); // the longest: sleepers return within it
  worker = await shop.startWorkerProcess();
});
beforeEach(() => forgetEndpoints(shop.db));
afterAll(() => expectCleanBooks(shop));
afterAll(async () => {
  await shop.stop();
  await receiver.stop();
});

const requests = ({ path }: TestEndpoint) => receiver.at(path).length;
/** The events that a merchant sees after it has deduplicated by webhook-id (docs/webhook-receiver.md). */
const messages = ({ path }: TestEndpoint) =>
  new Set(receiver.at(path).map(({ headers }) => headers['webhook-id'])).size;

/** A worker in this process, until the test ends. Only workers that are killed or stopped are processes. */
let other: Running | undefined;
async function takeOver(): Promise<void> {
  await letLocksRunOut(shop.db);
  other = await shop.startWorker();
}
afterEach(() => other?.stop());

test('a success that arrives after the delivery has failed counts: the receiver has it', async () => {
  const { endpoint, answer } = await underWay(shop, receiver);
  await shop.db.query(
    `UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL WHERE status = 'pending'`,
  );
  answer();
  await until(async () => (await deliveryOf(shop.db, endpoint)).status === 'succeeded');
  await drained(shop.db);
});

describe('a worker that sleeps, loses its lease and wakes up', () => {
  afterEach(() => worker.wake());

  describe('after another worker, which dies later, has taken it over', () => {
    // Started in advance: a start may take longer than the wait for the receiver's answer.
    let second: WorkerProcess;
    beforeEach(async () => {
      second = await shop.startSleepingWorker();
    });
    afterEach(() => second.kill());

    /** A second worker makes an attempt, which the receiver does not answer, and dies when the test wants it. */
    async function overtake(endpoint: TestEndpoint): Promise<void> {
      await worker.sleep();
      await letLocksRunOut(shop.db);
      second.wake();
      await receiver.received(endpoint.path, 2);
    }

    test('with a success: it counts even if the other dies, and no worker delivers again', async () => {
      const { endpoint, answer } = await underWay(shop, receiver);
      await overtake(endpoint);
      await second.kill();
      worker.wake();
      answer();
      await until(async () => (await deliveryOf(shop.db, endpoint)).status === 'succeeded');
      await letLocksRunOut(shop.db);
      await drained(shop.db);
      expect(requests(endpoint)).toBe(2);
      expect(messages(endpoint)).toBe(1);
    });

    test('with a failure: the delivery belongs to the other; if that dies, it is retried', async () => {
      const { endpoint, answer } = await underWay(shop, receiver);
      await overtake(endpoint);
      receiver.answer(endpoint.path, (response) => response.end());
      // The sleeper's request gets a failure, the other's none.
      worker.wake();
      receiver.drop(endpoint.path, 0);
      expect((await firstAttempt(shop.db, endpoint)).error).not.toBeNull();
      await second.kill();
      expect(await deliveryOf(shop.db, endpoint)).toMatchObject({ status: 'pending', attempts: 2 });
      await letLocksRunOut(shop.db);
      await drained(shop.db);
      expect(await deliveryOf(shop.db, endpoint)).toMatchObject({
        status: 'succeeded',
        attempts: 3,
      });
      expect(messages(endpoint)).toBe(1);
      answer();
    });
  });

  test('between its claim and its request: it may repeat the message, nothing else', async () => {
    const letGo = await holdWriters(shop, 'webhook_deliveries', 'commit', 'NEW.attempts = 1');
    const endpoint = await newEndpoint(shop, receiver);
    await happen(shop);
    await untilWaiting(shop.db, 'UPDATE webhook_deliveries');
    await worker.sleep();
    await letGo(); // the server commits; the worker does not know
    await until(async () => (await deliveryOf(shop.db, endpoint)).attempts === 1);
    await takeOver();
    await drained(shop.db);
    const ended = await deliveryOf(shop.db, endpoint);
    expect(ended).toMatchObject({ status: 'succeeded', attempts: 2 });
    worker.wake();
    expect(await firstAttempt(shop.db, endpoint)).toMatchObject({ response_status: 200 });
    expect(await deliveryOf(shop.db, endpoint)).toEqual(ended);
    expect(messages(endpoint)).toBe(1);
  });

  test('when the other has ended it: one success, nothing else is sent', async () => {
    const { endpoint, answer } = await underWay(shop, receiver);
    await worker.sleep();
    answer();
    await takeOver();
    await until(async () => (await deliveryOf(shop.db, endpoint)).status === 'succeeded');
    await drained(shop.db);
    const ended = await deliveryOf(shop.db, endpoint);
    worker.wake();
    expect(await firstAttempt(shop.db, endpoint)).toMatchObject({ response_status: 200 });
    await drained(shop.db);
    expect(await deliveryOf(shop.db, endpoint)).toEqual(ended);
    expect(requests(endpoint)).toBe(2);
    expect(messages(endpoint)).toBe(1);
  });
});

describe('a worker that is killed', () => {
  test('between the receiver’s answer and the record: the same message is sent again', async () => {
    const { endpoint, answer } = await underWay(shop, receiver);
    await worker.kill();
    answer();
    await takeOver();
    await drained(shop.db);
    expect(await deliveryOf(shop.db, endpoint)).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(await attemptsOf(shop.db, (await deliveryOf(shop.db, endpoint)).id)).toEqual([
      { number: 1, response_status: null, error: null }, // not recorded
      { number: 2, response_status: 200, error: null },
    ]);
    expect(requests(endpoint)).toBe(2);
    expect(messages(endpoint)).toBe(1);
  });
});

describe('a worker that gets SIGTERM', () => {
  /** The attempt does not count, because the receiver has not failed. */
  async function expectHandedOver(endpoint: TestEndpoint): Promise<void> {
    const interrupted = await deliveryOf(shop.db, endpoint);
    expect(interrupted).toMatchObject({ status: 'pending', attempts: 0 });
    expect(interrupted.pause).toBeLessThanOrEqual(0); // due immediately, without waiting for a lease
    expect(await attemptsOf(shop.db, interrupted.id)).toEqual([]);
    other = await shop.startWorker();
    await drained(shop.db);
    expect(await deliveryOf(shop.db, endpoint)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(messages(endpoint)).toBe(1);
  }

  test('interrupts a delivery, so that another worker can send it', async () => {
    const doomed = await shop.startWorkerProcess({ STOP_GRACE_MS: '5000' });
    const { endpoint, answer } = await underWay(shop, receiver);
    expect(await doomed.kill('SIGTERM')).toBe(0);
    answer();
    await expectHandedOver(endpoint);
  });

  test('does the same while a job does not end', async () => {
    const doomed = await shop.startWorkerProcess({ STOP_GRACE_MS: '4000' });
    const endpoint = await newEndpoint(shop, receiver);
    const answer = receiver.hold(endpoint.path);
    const { letGo } = await buyAndLockTheOrder(shop);
    await receiver.received(endpoint.path);
    await untilWaiting(shop.db, 'FROM orders');
    expect(await doomed.kill('SIGTERM')).toBe(0);
    answer();
    await letGo();
    await expectHandedOver(endpoint);
  });
});
