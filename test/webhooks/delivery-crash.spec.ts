import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  buyAndLockTheOrder,
  drained,
  holdWriters,
  letLocksRunOut,
  skipPauses,
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
  deliveriesOf,
  forgetEndpoints,
  happen,
  LATER,
  newEndpoint,
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

/** A delivery that has reached the receiver; its worker waits for the answer. */
async function underWay() {
  const endpoint = await newEndpoint(shop, receiver);
  const answer = receiver.hold(endpoint.path);
  const event = await happen(shop);
  await receiver.received(endpoint.path);
  return { endpoint, event, answer };
}

async function delivery(endpoint: TestEndpoint) {
  const [found] = await deliveriesOf(shop.db, endpoint);
  return found!;
}

const requests = ({ path }: TestEndpoint) => receiver.at(path).length;
/** The events that a merchant sees after it has deduplicated by webhook-id (docs/webhook-receiver.md). */
const messages = ({ path }: TestEndpoint) =>
  new Set(receiver.at(path).map(({ headers }) => headers['webhook-id'])).size;

/** A worker in this process. Only workers that are killed or stopped are processes. */
async function takeOver(): Promise<Running> {
  await letLocksRunOut(shop.db);
  return shop.startWorker();
}

describe('two workers at once', () => {
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
    expect(await delivery(endpoint)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(requests(endpoint)).toBe(1);
  });

  test('deliver twice if a claim does not move its time (control)', async () => {
    await shop.db.query(`
      CREATE FUNCTION no_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.next_attempt_at := OLD.next_attempt_at; RETURN NEW; END $$`);
    await shop.db.query(`
      CREATE TRIGGER no_claim BEFORE UPDATE ON webhook_deliveries
      FOR EACH ROW WHEN (NEW.status = 'pending') EXECUTE FUNCTION no_claim()`);
    const { endpoint, answer } = await underWay();
    await receiver.received(endpoint.path, 2);
    answer();
    await drained(shop.db);
    expect(requests(endpoint)).toBe(2);
  });
});

test('a failed delivery is not retried before its time, although others to its endpoint are sent', async () => {
  const endpoint = await newEndpoint(shop, receiver);
  receiver.answer(endpoint.path, (response) => response.writeHead(503, LATER).end());
  const first = await happen(shop);
  await until(async () => Number((await delivery(endpoint)).pause) > 3_000);
  receiver.answer(endpoint.path, (response) => response.end());
  await happen(shop);
  await receiver.received(endpoint.path, 2);
  await drained(shop.db);
  const attempts = (await deliveriesOf(shop.db, endpoint)).map((each) => each.attempts);
  expect(attempts).toEqual([1, 1]);
  await skipPauses(shop.db);
  await drained(shop.db);
  const ended = { event_id: first, status: 'succeeded', attempts: 2 };
  expect(await delivery(endpoint)).toMatchObject(ended);
  expect(requests(endpoint)).toBe(3);
});

test('a success that arrives after the delivery has failed counts: the receiver has it', async () => {
  const { endpoint, answer } = await underWay();
  await shop.db.query(
    `UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL WHERE status = 'pending'`,
  );
  answer();
  await until(async () => (await delivery(endpoint)).status === 'succeeded');
  await drained(shop.db);
});

describe('a worker that sleeps, loses its lease and wakes up', () => {
  afterEach(() => worker.wake());

  describe('to a worker that dies later', () => {
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
      const { endpoint, answer } = await underWay();
      await overtake(endpoint);
      await second.kill();
      worker.wake();
      answer();
      await until(async () => (await delivery(endpoint)).status === 'succeeded');
      await letLocksRunOut(shop.db);
      await drained(shop.db);
      expect(requests(endpoint)).toBe(2);
      expect(messages(endpoint)).toBe(1);
    });

    test('with a failure: the delivery belongs to the other; if that dies, it is retried', async () => {
      const { endpoint, answer } = await underWay();
      await overtake(endpoint);
      receiver.answer(endpoint.path, (response) => response.end());
      // The sleeper's request gets a failure, the other's none.
      worker.wake();
      receiver.drop(endpoint.path, 0);
      await until(async () => {
        const [first] = await attemptsOf(shop.db, (await delivery(endpoint)).id);
        return first?.error !== null;
      });
      await second.kill();
      expect(await delivery(endpoint)).toMatchObject({ status: 'pending', attempts: 2 });
      await letLocksRunOut(shop.db);
      await drained(shop.db);
      expect(await delivery(endpoint)).toMatchObject({ status: 'succeeded', attempts: 3 });
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
    await until(async () => (await delivery(endpoint)).attempts === 1);
    const second = await takeOver();
    await drained(shop.db);
    const ended = await delivery(endpoint);
    expect(ended).toMatchObject({ status: 'succeeded', attempts: 2 });
    worker.wake();
    await until(async () => {
      const [first] = await attemptsOf(shop.db, ended.id);
      return first?.response_status === 200;
    });
    expect(await delivery(endpoint)).toEqual(ended);
    expect(messages(endpoint)).toBe(1);
    await second.stop();
  });

  test('when the other has ended it: one success, nothing else is sent', async () => {
    const { endpoint, answer } = await underWay();
    await worker.sleep();
    answer();
    const second = await takeOver();
    await until(async () => (await delivery(endpoint)).status === 'succeeded');
    await drained(shop.db);
    const ended = await delivery(endpoint);
    worker.wake();
    await until(async () => {
      const [first] = await attemptsOf(shop.db, ended.id);
      return first?.response_status === 200;
    });
    await drained(shop.db);
    expect(await delivery(endpoint)).toEqual(ended);
    expect(requests(endpoint)).toBe(2);
    expect(messages(endpoint)).toBe(1);
    await second.stop();
  });
});

describe('a worker that is killed', () => {
  test('between the receiver’s answer and the record: the same message is sent again', async () => {
    const { endpoint, answer } = await underWay();
    await worker.kill();
    answer();
    const other = await takeOver();
    await drained(shop.db);
    expect(await delivery(endpoint)).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(await attemptsOf(shop.db, (await delivery(endpoint)).id)).toEqual([
      { number: 1, response_status: null, error: null }, // not recorded
      { number: 2, response_status: 200, error: null },
    ]);
    expect(requests(endpoint)).toBe(2);
    expect(messages(endpoint)).toBe(1);
    await other.stop();
  });
});

describe('a worker that gets SIGTERM', () => {
  /** The attempt does not count, because the receiver has not failed. */
  async function expectHandedOver(endpoint: TestEndpoint): Promise<void> {
    const interrupted = await delivery(endpoint);
    expect(interrupted).toMatchObject({ status: 'pending', attempts: 0 });
    expect(interrupted.pause).toBeLessThanOrEqual(0); // due at once, without waiting for a lease
    expect(await attemptsOf(shop.db, interrupted.id)).toEqual([]);
    const next = await shop.startWorker();
    await drained(shop.db);
    expect(await delivery(endpoint)).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(messages(endpoint)).toBe(1);
    await next.stop();
  }

  test('interrupts a delivery, so that another worker can send it', async () => {
    const doomed = await shop.startWorkerProcess({ STOP_GRACE_MS: '5000' });
    const { endpoint, answer } = await underWay();
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
