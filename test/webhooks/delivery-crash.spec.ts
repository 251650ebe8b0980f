import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  addJob,
  drained,
  jobs,
  letLocksRunOut,
  skipPauses,
  startShop,
  type Shop,
} from '../effects/effects.support.js';
import { expectCleanBooks } from '../support/books.js';
import { startReceiver, type Receiver } from '../support/receiver.js';
import type { Running } from '../support/service.js';
import { until } from '../support/until.js';
import type { StandbyWorker, WorkerProcess } from '../support/worker-process.js';
import {
  attemptsOf,
  deliveriesOf,
  forgetEndpoints,
  happen,
  LATER,
  newEndpoint,
  type TestEndpoint,
} from './webhooks.support.js';

/** A delivery reaches its merchant at least once, under one webhook-id, whatever becomes of the workers. */
let shop: Shop;
let receiver: Receiver;
let worker: WorkerProcess;
beforeAll(async () => {
  receiver = await startReceiver();
  shop = await startShop();
  worker = await shop.startWorkerProcess();
});
beforeEach(() => forgetEndpoints(shop.db));
afterAll(() => expectCleanBooks(shop));
afterAll(async () => {
  await shop.stop();
  await receiver.stop();
});

/** A delivery that has reached the receiver, whose worker waits for the answer. */
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
/** What a merchant makes of them who looks at the webhook-id, as docs/webhook-receiver.md does. */
const messages = ({ path }: TestEndpoint) =>
  new Set(receiver.at(path).map(({ headers }) => headers['webhook-id'])).size;

/** A worker in this process; only what is killed or sleeps is a process. */
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
  afterEach(() => shop.db.query('DROP FUNCTION IF EXISTS no_lease CASCADE'));

  test('deliver once: the second finds that it is being delivered', async () => {
    const { endpoint, answer } = await underWay();
    const [job] = await jobs(shop.db, 'deliver-webhook');
    await addJob(shop.db, 'deliver-webhook', job!.payload);
    await until(async () => (await jobs(shop.db)).some(({ put_off }) => put_off));
    answer();
    await until(async () => (await delivery(endpoint)).status === 'succeeded');
    await skipPauses(shop.db);
    await drained(shop.db);
    expect(requests(endpoint)).toBe(1);
  });

  test('deliver twice when they do not claim it (control)', async () => {
    await shop.db.query(`
      CREATE FUNCTION no_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.lease_expires_at := NULL; RETURN NEW; END $$`);
    await shop.db.query(
      `CREATE TRIGGER no_lease BEFORE UPDATE ON webhook_deliveries FOR EACH ROW EXECUTE FUNCTION no_lease()`,
    );
    const { endpoint, answer } = await underWay();
    const [job] = await jobs(shop.db, 'deliver-webhook');
    await addJob(shop.db, 'deliver-webhook', job!.payload);
    await receiver.received(endpoint.path, 2);
    answer();
    await drained(shop.db);
    expect(requests(endpoint)).toBe(2);
  });
});

test('a job that is run again after a failure does not try before the time', async () => {
  const endpoint = await newEndpoint(shop, receiver);
  receiver.answer(endpoint.path, (response) => response.writeHead(503, LATER).end());
  await happen(shop);
  await until(async () => Number((await delivery(endpoint)).pause) > 3_000);
  // The job of the first attempt goes a moment after its record, which has added the next one.
  await until(async () => (await jobs(shop.db)).length === 1);
  const [next] = await jobs(shop.db, 'deliver-webhook');
  const before = { ...next!.payload, attempt: 1 };
  for (let i = 0; i < 3; i++) await addJob(shop.db, 'deliver-webhook', before);
  await until(async () => (await jobs(shop.db)).length === 1);
  expect(await jobs(shop.db)).toMatchObject([{ id: next!.id, put_off: true }]);
  expect(requests(endpoint)).toBe(1);
  receiver.answer(endpoint.path, (response) => response.end());
  await skipPauses(shop.db);
  await drained(shop.db);
  expect(requests(endpoint)).toBe(2);
});

test('a job whose queue is ahead of its delivery waits for the time, and is not lost', async () => {
  const endpoint = await newEndpoint(shop, receiver);
  receiver.answer(endpoint.path, (response) => response.writeHead(503, LATER).end());
  await happen(shop);
  await until(async () => (await delivery(endpoint)).pause !== null);
  await shop.db.query('UPDATE graphile_worker._private_jobs SET run_at = now()');
  await until(async () => (await jobs(shop.db))[0]?.put_off === true);
  expect(requests(endpoint)).toBe(1);
  receiver.answer(endpoint.path, (response) => response.end());
  await skipPauses(shop.db);
  await drained(shop.db);
  expect(await delivery(endpoint)).toMatchObject({ status: 'succeeded', attempts: 2 });
});

test('an answer that comes after the delivery was given up counts: the receiver has it', async () => {
  const { endpoint, answer } = await underWay();
  await shop.db.query(
    `UPDATE webhook_deliveries SET status = 'failed', lease_expires_at = NULL WHERE status = 'pending'`,
  );
  answer();
  await until(async () => (await delivery(endpoint)).status === 'succeeded');
  await drained(shop.db);
});

describe('a worker that falls asleep, is overtaken and wakes up', () => {
  afterEach(() => worker.wake());

  describe('by one that dies later', () => {
    // Made in advance: the receiver's answer is not waited for as long as a program needs to load.
    let standby: StandbyWorker;
    beforeEach(async () => {
      standby = await shop.prepareWorkerProcess();
    });
    afterEach(() => standby.dismiss()); // the second worker, if it runs

    /** Another one makes an attempt, too, which the receiver does not answer, and dies when the test wants it. */
    async function overtake(endpoint: TestEndpoint): Promise<WorkerProcess> {
      await worker.sleep();
      await letLocksRunOut(shop.db);
      const second = await standby.start();
      await receiver.received(endpoint.path, 2);
      return second;
    }

    test('with a success: it counts, also if the other dies, and nobody delivers again', async () => {
      const { endpoint, answer } = await underWay();
      const second = await overtake(endpoint);
      await second.kill();
      worker.wake();
      answer();
      await until(async () => (await delivery(endpoint)).status === 'succeeded');
      await letLocksRunOut(shop.db);
      await drained(shop.db);
      expect(requests(endpoint)).toBe(2);
      expect(messages(endpoint)).toBe(1);
    });

    test('with a failure: it leaves the job to the other, whose own end is made up for if it dies', async () => {
      const { endpoint, answer } = await underWay();
      const second = await overtake(endpoint);
      receiver.answer(endpoint.path, (response) => response.end());
      // The sleeper's request is answered badly, the other's never.
      worker.wake();
      receiver.drop(endpoint.path, 0);
      await until(async () => {
        const [first] = await attemptsOf(shop.db, (await delivery(endpoint)).id);
        return first?.error !== null;
      });
      await until(async () => /\(deliver-webhook\), attempt 1/.test(worker.output()));
      await second.kill();
      expect(await delivery(endpoint)).toMatchObject({ status: 'pending', attempts: 2 });
      await letLocksRunOut(shop.db);
      await drained(shop.db);
      expect(await delivery(endpoint)).toMatchObject({ status: 'succeeded', attempts: 3 });
      expect(messages(endpoint)).toBe(1);
      answer();
    });
  });

  test('when the other has ended it: one success, nothing more is sent', async () => {
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
  test('after the receiver got it and before the record: it comes again, as the same message', async () => {
    const { endpoint, answer } = await underWay();
    await worker.kill();
    answer();
    const other = await takeOver();
    await drained(shop.db);
    expect(await delivery(endpoint)).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(await attemptsOf(shop.db, (await delivery(endpoint)).id)).toEqual([
      { number: 1, response_status: null, error: null }, // nobody knows
      { number: 2, response_status: 200, error: null },
    ]);
    expect(requests(endpoint)).toBe(2);
    expect(messages(endpoint)).toBe(1);
    await other.stop();
  });
});

test('a worker that is told to stop cuts a delivery short and hands it over, without waiting for any lock', async () => {
  const doomed = await shop.startWorkerProcess({ STOP_GRACE_MS: '3000' }); // of which a third is the jobs' own
  const { endpoint, answer } = await underWay();
  expect(await doomed.kill('SIGTERM')).toBe(0);
  // It is the receiver's failure in nothing, and moves no schedule.
  const interrupted = await delivery(endpoint);
  expect(interrupted).toMatchObject({ status: 'pending', attempts: 0, pause: null });
  expect(await attemptsOf(shop.db, interrupted.id)).toEqual([]);
  expect(await jobs(shop.db)).toMatchObject([
    { task: 'deliver-webhook', attempts: 0, locked: false },
  ]);
  answer();
  const next = await shop.startWorker();
  await drained(shop.db);
  expect(messages(endpoint)).toBe(1);
  await next.stop();
});
