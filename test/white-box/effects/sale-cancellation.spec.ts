import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runToEnd } from '../../operation/operation.support.js';
import { expectCleanBooks } from '../../support/books.js';
import { send } from '../../support/raw-client.js';
import { endLeases } from '../../support/time.js';
import { until } from '../../support/until.js';
import type { WorkerProcess } from '../../support/worker-process.js';
import { refund, refundsAtProcessor } from '../../refunds/refunds.support.js';
import {
  addJob,
  buy,
  jobs,
  letLocksRunOut,
  lockRows,
  skipPauses,
  untilWaiting,
  startShop,
  type Purchase,
  type Shop,
} from '../../effects/effects.support.js';
import {
  buyTheMissing,
  countStock,
  endOf,
  expectCanceled,
  payloadOf,
  refundAtProcessor,
} from './sale-cancellation.support.js';

/** A sale whose stock a correction removed after the payment: refunded once, canceled once, never shipped. */
let shop: Shop;
let worker: WorkerProcess;
beforeAll(async () => {
  shop = await startShop({ PROCESSOR_TIMEOUT_MS: '30000' });
  worker = await shop.startWorkerProcess();
});
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

/** Like `buyTheMissing`, but the processor has refunded, and its answer waits. */
async function buyAndHoldTheAnswer() {
  let answer = () => {};
  const purchase = await buyTheMissing(shop, async () => {
    answer = shop.gate.holdAnswers();
  });
  await until(async () => (await goneBack(purchase)) === 1);
  return { purchase, answer };
}

const pendingRefunds = async ({ charge }: Purchase) =>
  (
    await shop.db.query(`SELECT 1 FROM refunds WHERE charge_id = $1 AND status = 'pending'`, [
      charge,
    ])
  ).rows.length;
const goneBack = async ({ charge }: Purchase) =>
  (await refundsAtProcessor(shop.sandboxUrl, charge)).length;

async function takeOver(): Promise<WorkerProcess> {
  await letLocksRunOut(shop.db);
  await endLeases(shop.db);
  return shop.startWorkerProcess();
}

describe('a sale that cannot be delivered', () => {
  test('is refunded with a key that no client can send, and its order is canceled', async () => {
    const purchase = await buyTheMissing(shop);
    await expectCanceled(shop, purchase);
    const { rows } = await shop.db.query(
      `SELECT refund.cause, record.key FROM refunds AS refund
       LEFT JOIN idempotency_records AS record ON record.resource_id = refund.id WHERE charge_id = $1`,
      [purchase.charge],
    );
    const cause = `out_of_stock:${purchase.charge}`;
    expect(rows).toEqual([{ cause, key: `§${cause}` }]);
    const again = await send(`${shop.apiUrl}/charges`, {
      key: randomUUID(),
      body: { order: purchase.order, payment_method: 'pm_card_visa' },
    });
    expect(again).toMatchObject({ status: 409, body: { code: 'order_canceled' } });
  });

  test('refunds the rest if a client has refunded a part, and nothing if all', async () => {
    const giveBack = (amount: number) => (purchase: Purchase) =>
      refund(shop.apiUrl, purchase.charge, randomUUID(), { amount });
    const part = await buyTheMissing(shop, giveBack(500));
    await expectCanceled(shop, part, { back: [500, 700], refunded: 2 });
    const all = await buyTheMissing(shop, giveBack(1200));
    await expectCanceled(shop, all, { back: [1200], refunded: 1 });
  });

  test('waits for a refund in flight, because the rest is unknown until it ends', async () => {
    let open = () => {};
    let theirs!: ReturnType<typeof refund>;
    const purchase = await buyTheMissing(shop, async ({ charge }) => {
      open = shop.gate.close();
      theirs = refund(shop.apiUrl, charge, randomUUID(), { amount: 500 });
      await shop.gate.held(1);
    });
    await until(async () =>
      /has not ended yet/.test((await jobs(shop.db, 'cancel-sale'))[0]?.last_error ?? ''),
    );
    expect(await endOf(shop, purchase)).toMatchObject({ order: 'paid', back: [], shipments: 0 });
    open();
    expect(await theirs).toMatchObject({ status: 201, body: { amount: 500 } });
    await skipPauses(shop.db);
    await expectCanceled(shop, purchase, { back: [500, 700], refunded: 2 });
  });

  test('stays canceled if stock arrives before the refund', async () => {
    const { purchase, answer } = await buyAndHoldTheAnswer();
    await countStock(shop, purchase, 10);
    const job = await addJob(shop.db, 'fulfill-order', await payloadOf(shop, purchase));
    await until(async () => !(await jobs(shop.db)).some(({ id }) => id === job));
    expect(await endOf(shop, purchase)).toMatchObject({ order: 'paid', shipments: 0 });
    answer();
    await expectCanceled(shop, purchase, { stock: [10, 0] });
  });
});

describe('the same jobs', () => {
  test('run twice, and once more after the end, act once', async () => {
    const purchase = await buyTheMissing(shop, async (bought) => {
      await addJob(shop.db, 'fulfill-order', await payloadOf(shop, bought));
    });
    await expectCanceled(shop, purchase);
    await addJob(shop.db, 'cancel-sale', await payloadOf(shop, purchase));
    await addJob(shop.db, 'fulfill-order', await payloadOf(shop, purchase));
    await expectCanceled(shop, purchase);
  });

  test('run by two workers in parallel refund once', async () => {
    let open = () => {};
    const purchase = await buyTheMissing(shop, async () => {
      open = shop.gate.close();
    });
    await shop.gate.held(1);
    const second = await shop.startWorker();
    await addJob(shop.db, 'cancel-sale', await payloadOf(shop, purchase));
    await until(async () =>
      (await jobs(shop.db, 'cancel-sale')).some(({ last_error }) => last_error !== null),
    );
    // The second finds the first one's lease. After that has expired, the sweep calls the processor as well, with the
    // same key.
    await endLeases(shop.db);
    await shop.gate.held(2);
    open();
    await expectCanceled(shop, purchase);
    await second.stop();
  });

  test('without a derived key, two workers refund twice (control)', async () => {
    const purchase = await buy(shop);
    const more = `&amount=600&metadata[charge]=${purchase.charge}`;
    const naive = () => refundAtProcessor(shop, purchase, more);
    expect((await Promise.all([naive(), naive()])).map(({ status }) => status)).toEqual([200, 200]);
    expect(await refundsAtProcessor(shop.sandboxUrl, purchase.charge)).toHaveLength(2);
    await runToEnd('reconcile.js', shop.env); // books both: the file ends with clean books
  });
});

describe('a worker that is killed', () => {
  test('between the processor’s refund and the record: the money goes back once', async () => {
    const { purchase, answer } = await buyAndHoldTheAnswer();
    await worker.kill();
    answer();
    expect(await pendingRefunds(purchase)).toBe(1);
    worker = await takeOver();
    await expectCanceled(shop, purchase);
  });

  test('between the refund and the cancellation: the next one cancels the order', async () => {
    const { purchase, answer } = await buyAndHoldTheAnswer();
    const letGo = await lockRows(shop.databaseUrl, 'SELECT 1 FROM orders WHERE id = $1', [
      purchase.order,
    ]);
    answer();
    await untilWaiting(shop.db, 'FROM orders');
    expect(await pendingRefunds(purchase)).toBe(0);
    await worker.kill();
    await letGo();
    expect((await endOf(shop, purchase)).order).toBe('paid');
    worker = await takeOver();
    await expectCanceled(shop, purchase);
  });
});

test('a worker that sleeps with the processor’s answer and loses its lease refunds nothing more', async () => {
  const { purchase, answer } = await buyAndHoldTheAnswer();
  await worker.sleep();
  answer();
  await letLocksRunOut(shop.db);
  await endLeases(shop.db);
  const second = await shop.startWorker();
  await expectCanceled(shop, purchase);
  worker.wake();
  await addJob(shop.db, 'cancel-sale', await payloadOf(shop, purchase));
  await expectCanceled(shop, purchase);
  await second.stop();
});
