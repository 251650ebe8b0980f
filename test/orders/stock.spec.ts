import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, ledger } from '../support/books.js';
import { send } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import {
  getOrder,
  getProduct,
  newId,
  orderOf,
  pay,
  putOrder,
  putProduct,
} from './orders.support.js';

const FIFTY = Array.from({ length: 50 });
const DECLINED = { payment_method: 'pm_card_visa_chargeDeclined' };

let service: Service;
let api: string;
let other: Running;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
  other = await service.startApi();
});
afterAll(async () => {
  await expectMovementsAddUp();
  await expectCleanBooks(service);
  await service.stop();
});

/** On hand is what was counted minus what was sold. Held is what was held minus what was released or booked. */
async function expectMovementsAddUp(): Promise<void> {
  const { rows } = await service.db.query(`
    SELECT sku, on_hand::int, held::int,
      (SELECT COALESCE(sum(CASE kind WHEN 'adjust' THEN quantity WHEN 'book' THEN -quantity ELSE 0 END), 0)::int
       FROM stock_movements AS m WHERE (m.account_id, m.sku) = (p.account_id, p.sku)) AS counted,
      (SELECT COALESCE(sum(CASE kind WHEN 'hold' THEN quantity WHEN 'adjust' THEN 0 ELSE -quantity END), 0)::int
       FROM stock_movements AS m WHERE (m.account_id, m.sku) = (p.account_id, p.sku)) AS promised
    FROM products AS p`);
  expect(rows.length).toBeGreaterThan(0);
  for (const { sku, on_hand, held, counted, promised } of rows) {
    expect({ sku, on_hand, held }).toEqual({ sku, on_hand: counted, held: promised });
  }
}

async function newProduct(onHand: number): Promise<string> {
  const sku = newId('sku');
  expect((await putProduct(api, sku, onHand)).status).toBe(201);
  return sku;
}

async function orderFor(...wanted: [sku: string, quantity: number][]): Promise<string> {
  const id = newId();
  const items = wanted.map(([sku, quantity]) => ({ sku, quantity, unit_amount: 10 }));
  expect((await putOrder(api, id, { currency: 'eur', items })).status).toBe(201);
  return id;
}

const heldOf = async (sku: string) => (await getProduct(api, sku)).body.held;

describe('stock', () => {
  test('is held while the charge runs and released if it fails', async () => {
    const sku = await newProduct(5);
    const order = await orderFor([sku, 3]);
    const open = service.gate.close();
    const declined = pay(api, order, newId('key'), DECLINED);
    await service.gate.held(1);
    expect((await getProduct(api, sku)).body).toMatchObject({ on_hand: 5, held: 3 });
    open();
    expect((await declined).status).toBe(402);
    expect((await getProduct(api, sku)).body).toMatchObject({ on_hand: 5, held: 0 });
  });

  test('that is held or sold is not available to others', async () => {
    const sku = await newProduct(5);
    expect((await pay(api, await orderFor([sku, 3]), newId('key'))).status).toBe(201);
    const short = await pay(api, await orderFor([sku, 3]), newId('key'));
    expect(short.status).toBe(402);
    expect((await pay(api, await orderFor([sku, 2]), newId('key'))).status).toBe(201);
  });

  test('that is too low is a stored 402, without a call to the processor', async () => {
    const [plenty, scarce] = [await newProduct(100), await newProduct(1)];
    const { etag } = (await getProduct(api, scarce)).headers;
    const order = await orderFor([plenty, 2], [scarce, 2]);
    const key = newId('key');
    const failed = await pay(api, order, key);
    expect(failed).toMatchObject({
      status: 402,
      body: { code: 'charge_failed', failure_code: 'insufficient_inventory', retry: 'new_key' },
    });
    const id = failed.body.charge;
    expect(service.gate.attempts(id)).toBe(0);
    expect((await send(`${api}/charges/${id}`)).body).toMatchObject({
      status: 'failed',
      failure_code: 'insufficient_inventory',
      processor_reference: null,
      order,
    });
    expect([await heldOf(plenty), await heldOf(scarce)]).toEqual([0, 0]); // all or nothing
    expect((await getOrder(api, order)).body).toMatchObject({ status: 'open', charge: null });

    // New stock does not change this key's answer; another key buys.
    expect((await putProduct(api, scarce, 2, { 'if-match': etag })).status).toBe(200);
    const replay = await pay(api, order, key);
    expect([replay.status, replay.text]).toEqual([402, failed.text]);
    expect(replay.headers['idempotent-replayed']).toBe('true');
    expect((await pay(api, order, newId('key'))).status).toBe(201);
  });

  test('of one sku in two items is needed twice', async () => {
    const sku = await newProduct(3);
    expect((await pay(api, await orderFor([sku, 2], [sku, 2]), newId('key'))).status).toBe(402);
    expect((await pay(api, await orderFor([sku, 1], [sku, 2]), newId('key'))).status).toBe(201);
    expect(await heldOf(sku)).toBe(3);
  });

  test('of a sku without a product is not tracked, neither before nor after there is one', async () => {
    const sku = newId('sku');
    const order = await orderFor([sku, 10_000]);
    const open = service.gate.close();
    const declined = pay(api, order, newId('key'), DECLINED);
    await service.gate.held(1);
    await putProduct(api, sku, 1); // the product appears while the charge runs
    open();
    expect((await declined).status).toBe(402);
    expect((await getProduct(api, sku)).body).toMatchObject({ on_hand: 1, held: 0 });
  });

  test('of another account is separate', async () => {
    const sku = await newProduct(1);
    const order = newId();
    const theirs = { apiKey: 'sk_test_globex' };
    await putOrder(api, order, orderOf(10, sku, 5), {}, theirs);
    expect((await pay(api, order, newId('key'), {}, theirs)).status).toBe(201);
    expect(await heldOf(sku)).toBe(0);
  });

  test('may be counted below what is held: then no charge gets more, and stock never goes below zero', async () => {
    const sku = await newProduct(5);
    expect((await pay(api, await orderFor([sku, 3]), newId('key'))).status).toBe(201);
    expect((await putProduct(api, sku, 2, { 'if-match': '*' })).status).toBe(200);
    expect((await getProduct(api, sku)).body).toMatchObject({ on_hand: 2, held: 3 });
    expect((await pay(api, await orderFor([sku, 1]), newId('key'))).status).toBe(402);
    for (const change of ['on_hand = on_hand - 3', 'held = held - 4']) {
      const below = service.db.query(`UPDATE products SET ${change} WHERE sku = $1`, [sku]);
      await expect(below).rejects.toMatchObject({ code: '23514' });
    }
  });

  test('a count that was read before a hold is stale', async () => {
    const sku = await newProduct(5);
    const { etag } = (await getProduct(api, sku)).headers;
    await pay(api, await orderFor([sku, 1]), newId('key'));
    expect((await putProduct(api, sku, 7, { 'if-match': etag! })).status).toBe(412);
    expect((await putProduct(api, sku, 7)).status).toBe(428);
  });
});

test('fifty buyers of the last copy: one charge succeeds, the others were never charged', async () => {
  const sku = await newProduct(1);
  const buyers = await Promise.all(
    FIFTY.map(async (_, i) => ({
      url: i % 2 ? api : other.url,
      order: await orderFor([sku, 1]),
      key: newId('key'),
    })),
  );
  const buy = () => Promise.all(buyers.map(({ url, order, key }) => pay(url, order, key)));
  const replies = await buy();
  const lost = replies.filter(({ status }) => status !== 201);
  expect(lost).toHaveLength(49);
  for (const { status, body } of lost) {
    expect([status, body.code, body.failure_code]).toEqual([
      402,
      'charge_failed',
      'insufficient_inventory',
    ]);
  }
  expect((await buy()).map(({ text }) => text)).toEqual(replies.map(({ text }) => text));
  expect((await getProduct(api, sku)).body).toMatchObject({ on_hand: 1, held: 1 });
  const orders = new Set(buyers.map(({ order }) => order));
  const taken = (await ledger(service.sandboxUrl)).filter(({ metadata }) =>
    orders.has(String((metadata as { order?: string }).order)),
  );
  expect(taken).toHaveLength(1); // so that no customer needs a refund
  const refunds = await send(`${service.sandboxUrl}/v1/refunds`);
  expect(refunds.body.data).toEqual([]);
});

test('orders with the same two skus in opposite order never deadlock', async () => {
  const [a, b] = [await newProduct(10_000), await newProduct(10_000)];
  const before = await deadlocks();
  for (let round = 0; round < 8; round++) {
    const orders = await Promise.all(
      Array.from({ length: 16 }, (_, i) =>
        i % 2 ? orderFor([a, 1], [b, 2]) : orderFor([b, 2], [a, 1]),
      ),
    );
    const replies = await Promise.all(
      orders.map((order, i) =>
        pay(i % 4 < 2 ? api : other.url, order, newId('key'), i % 3 ? {} : DECLINED),
      ),
    );
    expect(replies.map(({ status }) => status)).toEqual(orders.map((_, i) => (i % 3 ? 201 : 402)));
  }
  expect(await deadlocks()).toBe(before);
  const bought = 8 * Array.from({ length: 16 }, (_, i) => i).filter((i) => i % 3).length;
  expect([await heldOf(a), await heldOf(b)]).toEqual([bought, 2 * bought]);
});

/** The number of deadlocks in this database; an idle backend flushes its statistics. */
async function deadlocks(): Promise<number> {
  const { rows } = await service.db.query(
    `SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`,
  );
  return rows[0].deadlocks;
}

test('concurrent charges, declines and counts: the movements add up and nothing goes below zero', async () => {
  const sku = await newProduct(20);
  await Promise.all(
    FIFTY.map(async (_, i) => {
      if (i % 10 === 0) return putProduct(api, sku, 20 + i, { 'if-match': '*' });
      const order = await orderFor([sku, 1 + (i % 3)]);
      return pay(i % 2 ? api : other.url, order, newId('key'), i % 4 ? {} : DECLINED);
    }),
  );
  await expectMovementsAddUp();
});
