import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { expectCleanBooks } from '../../support/books.js';
import { until } from '../../support/until.js';
import type { WorkerProcess } from '../../support/worker-process.js';
import {
  buy,
  drained,
  letLocksRunOut,
  skipPauses,
  untilWaiting,
  startShop,
  type Purchase,
  type Shop,
} from '../../effects/effects.support.js';
import { copies, handOver, messages, payloadOf, rowsOf } from './receipts.support.js';

/** The receipt of a purchase is one message, even if the worker that sends it is killed or sleeps. */
let shop: Shop;
let worker: WorkerProcess;
beforeAll(async () => {
  shop = await startShop();
  worker = await shop.startWorkerProcess();
});
afterEach(() => drained(shop.db));
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

describe('a worker that is killed', () => {
  test('between the mail server’s acceptance and the record: sends the same message again', async () => {
    const { purchase, answer } = await handOver(shop);
    expect(await rowsOf(shop, purchase)).toEqual([{ epoch: 1, sent: false }]);
    await worker.kill();
    answer();
    await letLocksRunOut(shop.db);
    worker = await shop.startWorkerProcess();
    await drained(shop.db);
    // At-least-once by choice: sent twice, but the reader sees one. At-most-once would lose a message like this one.
    expect(copies(shop, purchase)).toBe(2);
    expect(messages(shop, purchase)).toBe(1);
    expect(await rowsOf(shop, purchase)).toEqual([{ epoch: 2, sent: true }]);
  });

  test('with the lease, before it sends: one message', async () => {
    const speak = shop.mail.mute();
    const purchase = await buy(shop);
    await until(async () => (await rowsOf(shop, purchase)).length === 1);
    await worker.kill();
    speak();
    await letLocksRunOut(shop.db);
    worker = await shop.startWorkerProcess();
    await drained(shop.db);
    expect(copies(shop, purchase)).toBe(1);
  });
});

describe('a worker that sleeps, loses its job and wakes up', () => {
  let second: WorkerProcess;
  beforeEach(async () => {
    second = await shop.startSleepingWorker();
  });
  afterEach(() => second.kill());

  /** Another worker takes over the sleeper's job, before the sleeper abandons its message, 10 s after it was sent. */
  async function takeOver(isDone: () => Promise<boolean>): Promise<void> {
    await letLocksRunOut(shop.db);
    second.wake();
    await until(async () => {
      await skipPauses(shop.db); // otherwise the job waits for the next poll
      return isDone();
    });
  }

  /** The same, and finishes it. */
  const overtake = (purchase: Purchase) =>
    takeOver(async () => (await rowsOf(shop, purchase))[0]?.sent === true);

  test('with the lease, sends nothing', async () => {
    // Its claim waits for another transaction, and succeeds while it sleeps.
    const blocker = new pg.Client({ connectionString: shop.databaseUrl });
    await blocker.connect();
    await worker.sleep(); // so that the event exists before its job runs
    const purchase = await buy(shop);
    const { account, event } = await payloadOf(shop, purchase);
    await blocker.query('BEGIN');
    await blocker.query(
      `INSERT INTO sent_emails (account_id, message_id, event_id, recipient, epoch) VALUES ($1, $2, $3, 'nobody', 1)`,
      [account, `<receipt.${event}@charge-once.invalid>`, event],
    );
    worker.wake();
    await untilWaiting(shop.db, 'INSERT INTO sent_emails');
    await worker.sleep();
    await blocker.end(); // rolls back
    await until(async () => (await rowsOf(shop, purchase)).length === 1);
    await overtake(purchase);
    expect(copies(shop, purchase)).toBe(1);
    worker.wake();
    await until(async () => /\(send-receipt\), attempt 1/.test(worker.output())); // the claim itself is refused
    expect(copies(shop, purchase)).toBe(1);
  });

  test('after the mail server accepted the message: one message, recorded once', async () => {
    const { purchase, answer } = await handOver(shop);
    await worker.sleep();
    answer();
    await overtake(purchase);
    const recorded = await rowsOf(shop, purchase);
    worker.wake();
    await drained(shop.db);
    expect(await rowsOf(shop, purchase)).toEqual(recorded);
    expect(messages(shop, purchase)).toBe(1);
    expect(copies(shop, purchase)).toBe(2);
  });

  test('records what it has sent even if another has the lease, because no other worker will', async () => {
    const { purchase, answer } = await handOver(shop);
    await worker.sleep();
    await takeOver(async () => copies(shop, purchase) === 2);
    await second.kill(); // the other worker is gone, and the job ends when the sleeper returns
    worker.wake();
    answer();
    await until(async () => (await rowsOf(shop, purchase))[0]?.sent === true);
    await drained(shop.db);
    expect(copies(shop, purchase)).toBe(2);
    expect(messages(shop, purchase)).toBe(1);
  });
});
