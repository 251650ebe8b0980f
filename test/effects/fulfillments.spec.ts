import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks } from '../support/books.js';
import { send } from '../support/raw-client.js';
import type { Running } from '../support/service.js';
import { until } from '../support/until.js';
import type { WorkerProcess } from '../support/worker-process.js';
import { forgetFulfillments } from './careless.support.js';
import {
  addJob,
  buy,
  buyAndLockTheOrder,
  drained,
  effectsOf,
  holdWriters,
  jobs,
  letLocksRunOut,
  lockRows,
  untilNoneWaits,
  ONE_OF_EACH,
  skipPauses,
  untilWaiting,
  startShop,
  type Purchase,
  type Shop,
} from './effects.support.js';

/** A paid order books its stock and is shipped once, whatever happens to the workers. */
let shop: Shop;
let worker: WorkerProcess;
beforeAll(async () => {
  shop = await startShop();
  worker = await shop.startWorkerProcess();
});
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

async function payloadOf({ order, charge }: Purchase, { db } = shop) {
  const { rows } = await db.query<{ account_id: string }>(
    'SELECT account_id FROM charges WHERE id = $1',
    [charge],
  );
  return { account: rows[0]!.account_id, order, charge };
}

async function shipmentOf({ order }: Purchase) {
  const { rows } = await shop.db.query<{
    id: string;
    step: string;
    tracking_number: string | null;
  }>('SELECT id, step, tracking_number, updated_at FROM fulfillments WHERE order_id = $1', [order]);
  return rows[0];
}

/**
 * A second worker, in this process, finishes the work of the first. Only workers that are killed or stopped are
 * processes.
 */
async function takeOver(): Promise<Running> {
  await letLocksRunOut(shop.db);
  return shop.startWorker();
}

async function expectOneOfEach(purchase: Purchase): Promise<void> {
  await drained(shop.db);
  expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
  expect(await shipmentOf(purchase)).toMatchObject({ step: 'handed_over' });
}

test('a paid order is shipped step by step, and shows its shipment', async () => {
  const purchase = await buy(shop);
  await expectOneOfEach(purchase);
  const shipment = await shipmentOf(purchase);
  expect(shipment?.tracking_number).toMatch(/^TRACK-[0-9A-F]{12}$/);
  const { body: order } = await send(`${shop.apiUrl}/orders/${purchase.order}`);
  expect(order).toMatchObject({ status: 'paid', fulfillment: shipment?.id });
});

describe('the same job', () => {
  test('run twice has one of each effect', async () => {
    const purchase = await buy(shop);
    await drained(shop.db);
    const payload = await payloadOf(purchase);
    const before = await shipmentOf(purchase);
    await addJob(shop.db, 'fulfill-order', payload);
    await addJob(shop.db, 'advance-fulfillment', { ...payload, fulfillment: before?.id });
    await expectOneOfEach(purchase);
    expect(await shipmentOf(purchase)).toEqual(before);
  });

  test('run by two workers in parallel has one of each effect', async () => {
    const { purchase, letGo } = await buyAndLockTheOrder(shop, async (bought) => {
      await addJob(shop.db, 'fulfill-order', await payloadOf(bought));
    });
    const second = await shop.startWorker();
    await untilWaiting(shop.db, 'FROM orders', 2);
    await letGo();
    await expectOneOfEach(purchase);
    await second.stop();
  });
});

describe('a worker that sleeps, loses its job to another and wakes up', () => {
  test('after its commit: one of each effect', async () => {
    const letGo = await holdWriters(shop, 'fulfillments', 'commit');
    const purchase = await buy(shop);
    await untilWaiting(shop.db, 'COMMIT');
    expect(await jobs(shop.db, 'advance-fulfillment')).toEqual([]); // set together with the shipment
    await worker.sleep();
    await letGo(); // the server commits; the worker does not know
    await until(async () => (await effectsOf(shop, purchase)).shipments === 1);
    const second = await takeOver();
    await drained(shop.db);
    worker.wake();
    await expectOneOfEach(purchase);
    await second.stop();
  });

  test('in its transaction: its session is ended, another worker does the job, the sleeper does nothing', async () => {
    const { purchase, letGo } = await buyAndLockTheOrder(shop);
    await untilWaiting(shop.db, 'FROM orders');
    await worker.sleep();
    await letGo(); // the sleeper holds the order now
    // As idle_in_transaction_session_timeout would.
    await until(async () => {
      const { rows } = await shop.db.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND state = 'idle in transaction'`,
      );
      return rows.length > 0;
    });
    const second = await takeOver();
    await drained(shop.db);
    worker.wake();
    await until(async () => /\(fulfill-order\), attempt 1/.test(worker.output()));
    await skipPauses(shop.db);
    await expectOneOfEach(purchase);
    await second.stop();
  });
});

describe('a worker that is killed', () => {
  /** @returns the worker that takes over. The next test kills it. */
  async function takeOverByProcess(): Promise<WorkerProcess> {
    await letLocksRunOut(shop.db);
    return shop.startWorkerProcess();
  }

  test('in the middle of the transaction has no effect; the next one does the job', async () => {
    const letGo = await holdWriters(shop, 'fulfillments', 'write');
    const purchase = await buy(shop);
    await untilWaiting(shop.db, 'INSERT INTO fulfillments'); // the stock is booked, in its transaction
    await worker.kill();
    await letGo();
    expect(await effectsOf(shop, purchase)).toMatchObject({
      bookings: 0,
      onHand: 10,
      shipments: 0,
    });
    worker = await takeOverByProcess();
    await expectOneOfEach(purchase);
  });

  test('after the commit, before the queue knows: one of each effect', async () => {
    const { purchase, letGo: letOrderGo } = await buyAndLockTheOrder(shop);
    await untilWaiting(shop.db, 'FROM orders');
    const [job] = await jobs(shop.db, 'fulfill-order');
    const letJobGo = await lockRows(
      shop.databaseUrl,
      'SELECT 1 FROM graphile_worker._private_jobs WHERE id = $1',
      [job?.id],
    );
    await letOrderGo();
    await untilWaiting(shop.db, 'delete from');
    expect(await effectsOf(shop, purchase)).toMatchObject({ bookings: 1, shipments: 1 });
    await worker.kill();
    await untilNoneWaits(shop.db, 'delete from'); // the server has noticed
    await letJobGo();
    expect(await jobs(shop.db, 'fulfill-order')).toHaveLength(1);
    worker = await takeOverByProcess();
    await expectOneOfEach(purchase);
  });

  test('between two steps of the shipment: the next one continues with the same label', async () => {
    const letGo = await holdWriters(shop, 'fulfillments', 'write', `NEW.step = 'handed_over'`);
    const purchase = await buy(shop);
    await untilWaiting(shop.db, 'UPDATE fulfillments');
    const labelled = await shipmentOf(purchase);
    expect(labelled).toMatchObject({
      step: 'labelled',
      tracking_number: expect.stringMatching(/^TRACK/),
    });
    await worker.kill();
    await letGo();
    const last = await takeOver();
    await expectOneOfEach(purchase);
    expect(await shipmentOf(purchase)).toEqual({
      ...labelled,
      step: 'handed_over',
      updated_at: expect.any(Date),
    });
    await last.stop();
  });
});

describe('without the constraints (control)', () => {
  let careless: Shop;
  beforeAll(async () => {
    careless = await startShop();
    await forgetFulfillments(careless);
    await careless.startWorker();
  });
  afterAll(() => careless.stop());

  test('the same job run twice has two of each effect', async () => {
    const purchase = await buy(careless);
    await drained(careless.db);
    await addJob(careless.db, 'fulfill-order', await payloadOf(purchase, careless));
    await drained(careless.db);
    const effects = await effectsOf(careless, { ...purchase, charge: `${purchase.charge}?` });
    expect(effects).toMatchObject({ bookings: 2, onHand: 6, shipments: 2 });
  });
});
