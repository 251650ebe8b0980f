import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { audit } from '../../../src/audit/audit.js';
import { runToEnd } from '../../operation/operation.support.js';
import { expectCleanBooks } from '../../support/books.js';
import { openDatabase } from '../../support/open-database.js';
import { send } from '../../support/raw-client.js';
import { endLeases } from '../../support/time.js';
import { until } from '../../support/until.js';
import type { WorkerProcess } from '../../support/worker-process.js';
import { refund, refundsAtProcessor } from '../../refunds/refunds.support.js';
import {
  addJob,
  buy,
  drained,
  jobs,
  letLocksRunOut,
  lockRows,
  skipPauses,
  untilWaiting,
  startShop,
  type Purchase,
  type Shop,
} from '../../effects/effects.support.js';

/** A sale whose stock a correction removed after the payment: refunded once, canceled once, never shipped. */
let shop: Shop;
let worker: WorkerProcess;
beforeAll(async () => {
  shop = await startShop({ PROCESSOR_TIMEOUT_MS: '30000' });
  worker = await shop.startWorkerProcess();
});
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

async function countStock({ sku }: Purchase, onHand: number): Promise<void> {
  const url = `${shop.apiUrl}/products/${sku}`;
  const { headers } = await send(url);
  const body = { name: 'A cup', on_hand: onHand };
  const put = await send(url, { method: 'PUT', body, headers: { 'if-match': headers.etag } });
  if (put.status !== 200) throw new Error(put.text);
}

/** Two of ten are bought; then the stock is corrected to one. The workers sleep meanwhile. */
function buyTheMissing(before: (purchase: Purchase) => Promise<unknown> = async () => {}) {
  return shop.whileWorkersSleep(async () => {
    const purchase = await buy(shop);
    await countStock(purchase, 1);
    await before(purchase);
    return purchase;
  });
}

/** The same; the processor refunds, and its answer waits. */
async function buyAndHoldTheAnswer() {
  let answer = () => {};
  const purchase = await buyTheMissing(async () => {
    answer = shop.gate.holdAnswers();
  });
  await until(async () => (await goneBack(purchase)) === 1);
  return { purchase, answer };
}

async function endOf({ order, sku, charge }: Purchase) {
  const count = async (sql: string) =>
    (await shop.db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${sql}`)).rows[0]!.n;
  const { body: shown } = await send(`${shop.apiUrl}/orders/${order}`);
  const { body: product } = await send(`${shop.apiUrl}/products/${sku}`);
  return {
    order: shown.status,
    back: (await refundsAtProcessor(shop.sandboxUrl, charge)).map(({ amount }) => amount).sort(),
    stock: [product.on_hand, product.held],
    shipments: await count(`fulfillments WHERE order_id = '${order}'`),
    canceled: await count(`events WHERE type = 'order.canceled' AND cause = '${order}'`),
    refunded: await count(
      `events WHERE type = 'charge.refunded' AND data #>> '{object,id}' = '${charge}'`,
    ),
  };
}

const CANCELED = {
  order: 'canceled',
  back: [1200],
  stock: [1, 0],
  shipments: 0,
  canceled: 1,
  refunded: 1,
};

async function expectCanceled(purchase: Purchase, changes: object = {}): Promise<void> {
  await drained(shop.db);
  expect(await endOf(purchase)).toEqual({ ...CANCELED, ...changes });
}

async function payloadOf({ order, charge }: Purchase) {
  const { rows } = await shop.db.query<{ account_id: string }>(
    'SELECT account_id FROM charges WHERE id = $1',
    [charge],
  );
  return { account: rows[0]!.account_id, order, charge };
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
    const purchase = await buyTheMissing();
    await expectCanceled(purchase);
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
    const part = await buyTheMissing(giveBack(500));
    await expectCanceled(part, { back: [500, 700], refunded: 2 });
    const all = await buyTheMissing(giveBack(1200));
    await expectCanceled(all, { back: [1200], refunded: 1 });
  });

  test('waits for a refund in flight, because the rest is unknown until it ends', async () => {
    let open = () => {};
    let theirs!: ReturnType<typeof refund>;
    const purchase = await buyTheMissing(async ({ charge }) => {
      open = shop.gate.close();
      theirs = refund(shop.apiUrl, charge, randomUUID(), { amount: 500 });
      await shop.gate.held(1);
    });
    await until(async () =>
      /has not ended yet/.test((await jobs(shop.db, 'cancel-sale'))[0]?.last_error ?? ''),
    );
    expect(await endOf(purchase)).toMatchObject({ order: 'paid', back: [], shipments: 0 });
    open();
    expect(await theirs).toMatchObject({ status: 201, body: { amount: 500 } });
    await skipPauses(shop.db);
    await expectCanceled(purchase, { back: [500, 700], refunded: 2 });
  });

  test('stays canceled if stock arrives before the refund', async () => {
    const { purchase, answer } = await buyAndHoldTheAnswer();
    await countStock(purchase, 10);
    const job = await addJob(shop.db, 'fulfill-order', await payloadOf(purchase));
    await until(async () => !(await jobs(shop.db)).some(({ id }) => id === job));
    expect(await endOf(purchase)).toMatchObject({ order: 'paid', shipments: 0 });
    answer();
    await expectCanceled(purchase, { stock: [10, 0] });
  });
});

describe('the same jobs', () => {
  test('run twice, and once more after the end, act once', async () => {
    const purchase = await buyTheMissing(async (bought) => {
      await addJob(shop.db, 'fulfill-order', await payloadOf(bought));
    });
    await expectCanceled(purchase);
    await addJob(shop.db, 'cancel-sale', await payloadOf(purchase));
    await addJob(shop.db, 'fulfill-order', await payloadOf(purchase));
    await expectCanceled(purchase);
  });

  test('run by two workers at once refund once', async () => {
    let open = () => {};
    const purchase = await buyTheMissing(async () => {
      open = shop.gate.close();
    });
    await shop.gate.held(1);
    const second = await shop.startWorker();
    await addJob(shop.db, 'cancel-sale', await payloadOf(purchase));
    await until(async () =>
      (await jobs(shop.db, 'cancel-sale')).some(({ last_error }) => last_error !== null),
    );
    // The second finds the first one's lease. After that has expired, the sweep calls the processor as well, with the
    // same key.
    await endLeases(shop.db);
    await shop.gate.held(2);
    open();
    await expectCanceled(purchase);
    await second.stop();
  });

  test('without a derived key, two workers refund twice (control)', async () => {
    const { charge } = await buy(shop);
    const { rows } = await shop.db.query<{ processor_reference: string }>(
      'SELECT processor_reference FROM charges WHERE id = $1',
      [charge],
    );
    const naive = () =>
      send(`${shop.sandboxUrl}/v1/refunds`, {
        key: randomUUID(),
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: `payment_intent=${rows[0]?.processor_reference}&amount=600&metadata[charge]=${charge}`,
      });
    expect((await Promise.all([naive(), naive()])).map(({ status }) => status)).toEqual([200, 200]);
    expect(await refundsAtProcessor(shop.sandboxUrl, charge)).toHaveLength(2);
  });
});

describe('a worker that is killed', () => {
  test('between the processor’s refund and the record: the money goes back once', async () => {
    const { purchase, answer } = await buyAndHoldTheAnswer();
    await worker.kill();
    answer();
    expect(await pendingRefunds(purchase)).toBe(1);
    worker = await takeOver();
    await expectCanceled(purchase);
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
    expect((await endOf(purchase)).order).toBe('paid');
    worker = await takeOver();
    await expectCanceled(purchase);
  });
});

test('a worker that sleeps with the processor’s answer and loses its lease refunds nothing more', async () => {
  const { purchase, answer } = await buyAndHoldTheAnswer();
  await worker.sleep();
  answer();
  await letLocksRunOut(shop.db);
  await endLeases(shop.db);
  const second = await shop.startWorker();
  await expectCanceled(purchase);
  worker.wake();
  await addJob(shop.db, 'cancel-sale', await payloadOf(purchase));
  await expectCanceled(purchase);
  await second.stop();
});

/** An operator was faster, at the processor, without our ids. */
const refundInDashboard = (amount?: number) => async (purchase: Purchase) => {
  const elsewhere = await send(`${shop.sandboxUrl}/v1/refunds`, {
    key: randomUUID(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: `payment_intent=${await paymentOf(purchase)}${amount === undefined ? '' : `&amount=${amount}`}`,
  });
  expect(elsewhere.status).toBe(200);
};

async function paymentOf({ charge }: Purchase) {
  const { rows } = await shop.db.query<{ processor_reference: string }>(
    'SELECT processor_reference FROM charges WHERE id = $1',
    [charge],
  );
  return rows[0]!.processor_reference;
}

/** The refunds of a charge; those that we owe with their causes. */
async function bookedOf({ charge }: Purchase) {
  const { rows } = await shop.db.query<{ cause: string | null; status: string; amount: number }>(
    `SELECT substr(cause, length('out_of_stock:' || charge_id) + 1) AS cause, status, amount::int FROM refunds
     WHERE charge_id = $1 ORDER BY settled_at`,
    [charge],
  );
  return rows;
}

describe('a refund that the processor refuses', () => {
  test('because all was refunded there: that is booked, and the order is canceled', async () => {
    const purchase = await buyTheMissing(refundInDashboard());
    await expectCanceled(purchase, { back: [] });
    expect(await bookedOf(purchase)).toEqual([
      { cause: '', status: 'failed', amount: 1200 },
      { cause: null, status: 'succeeded', amount: 1200 },
    ]);
    const { body } = await send(`${shop.apiUrl}/charges/${purchase.charge}`);
    expect(body.amount_refunded).toBe(1200);
    await addJob(shop.db, 'cancel-sale', await payloadOf(purchase));
    await expectCanceled(purchase, { back: [] });
  });

  test('because a part was refunded there: the rest goes back, and the order is canceled', async () => {
    const purchase = await buyTheMissing(refundInDashboard(500));
    await expectCanceled(purchase, { back: [700], refunded: 2 });
    expect(await bookedOf(purchase)).toEqual([
      { cause: '', status: 'failed', amount: 1200 },
      { cause: null, status: 'succeeded', amount: 500 },
      { cause: '#2', status: 'succeeded', amount: 700 },
    ]);
  });

  test('for another reason cancels nothing and shows in the audit; an operator’s retry uses the next key', async () => {
    let payment = '';
    const purchase = await buyTheMissing(async (bought) => {
      payment = await paymentOf(bought);
      await pay(bought, 'pi_absent');
    });
    const failedTimes = (attempts: number) =>
      until(async () => {
        const [job] = await jobs(shop.db, 'cancel-sale');
        return (
          job !== undefined &&
          job.attempts >= attempts && // it is retried by itself, too
          /a person must look/.test(job.last_error ?? '') &&
          !job.locked
        );
      });
    await failedTimes(1);
    await skipPauses(shop.db);
    await failedTimes(2); // without an operator, it does not ask again
    const refused = { cause: '', status: 'failed', amount: 1200 };
    expect(await bookedOf(purchase)).toEqual([refused]);
    expect((await endOf(purchase)).order).toBe('paid');
    expect(await findings()).toContain('refund_owed_but_refused');

    await pay(purchase, payment);
    const [job] = await jobs(shop.db, 'cancel-sale');
    await shop.db.query(
      'UPDATE graphile_worker._private_jobs SET attempts = max_attempts WHERE id = $1',
      [job!.id],
    );
    expect((await runToEnd('jobs.js', shop.env, ['retry', job!.id])).exit).toBe(0);
    await expectCanceled(purchase);
    expect(await bookedOf(purchase)).toEqual([
      refused,
      { cause: '#2', status: 'succeeded', amount: 1200 },
    ]);
  });

  test('long after it had succeeded: the order stays canceled, and an operator can refund with a key', async () => {
    const purchase = await buyTheMissing();
    await expectCanceled(purchase);
    const { rows } = await shop.db.query<{ processor_reference: string; id: string }>(
      'SELECT id, processor_reference FROM refunds WHERE charge_id = $1',
      [purchase.charge],
    );
    const [{ processor_reference: reference, id }] = rows as [(typeof rows)[0]];
    await shop.db.query(
      `UPDATE sandbox.refunds SET status = 'failed', failure_reason = 'expired_or_canceled_card' WHERE id = $1`,
      [reference],
    );
    await shop.db.query(
      `UPDATE sandbox.payment_intents SET amount_refunded = 0 WHERE id = (SELECT payment_intent FROM sandbox.refunds WHERE id = $1)`,
      [reference],
    );
    expect((await runToEnd('reconcile.js', shop.env)).output).toContain(
      `refund_failed_after_it_had_succeeded`,
    );
    await drained(shop.db);
    expect((await endOf(purchase)).order).toBe('canceled');
    const { rows: parked } = await shop.db.query(
      'SELECT reason FROM parked_payments WHERE processor_reference = $1',
      [reference],
    );
    expect(parked).toEqual([{ reason: 'owed_refund_failed' }]);
    expect(await findings()).toEqual(
      expect.arrayContaining(['refund_owed_but_refused', 'order_canceled_but_not_refunded']),
    );
    const { rows: reported } = await shop.db.query('SELECT type FROM events WHERE cause = $1', [
      id,
    ]);
    expect(reported.map(({ type }) => type).sort()).toEqual(['charge.refunded', 'refund.failed']);
    const again = await refund(shop.apiUrl, purchase.charge, randomUUID());
    expect([again.status, again.body.amount]).toEqual([201, 1200]);
    expect(await findings()).toEqual([]);
  });

  const pay = ({ charge }: Purchase, payment: string) =>
    shop.db.query('UPDATE charges SET processor_reference = $2 WHERE id = $1', [charge, payment]);

  async function findings(): Promise<string[]> {
    const { db, close } = await openDatabase(shop.databaseUrl);
    const found = await audit(db).finally(close);
    return found.map(({ invariant }) => invariant);
  }
});
