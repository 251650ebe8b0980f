import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { expectCleanBooks, paymentsAtProcessor } from '../support/books.js';
import { statementsWaiting } from '../support/held-statement.js';
import { send } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { until } from '../support/until.js';
import { cancelOrder, getOrder, newId, orderOf, pay, putOrder } from './orders.support.js';

let service: Service;
let api: string;
let other: Running;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
  other = await service.startApi();
});
afterAll(async () => {
  await expectCleanBooks(service);
  await service.stop();
});

interface ChargeSeen {
  id: string;
  status: string;
  amount: number;
}

/** One round: the order is canceled, edited and paid in parallel, on two instances. */
async function round(number: number): Promise<'paid' | 'canceled'> {
  const id = newId();
  const [before, after] = [1000 + number, 5000 + number];
  const { etag } = (await putOrder(api, id, orderOf(before))).headers;
  const [here, there] = number % 2 ? [api, other.url] : [other.url, api];
  const racers = [
    () => cancelOrder(here, id),
    () => putOrder(there, id, orderOf(after), { 'if-match': etag }),
    () => pay(here, id, newId('key')),
    () => pay(there, id, newId('key')),
  ];
  // The first request differs from round to round.
  const turned = [...racers.slice(number % 4), ...racers.slice(0, number % 4)];
  const replies = await Promise.all(turned.map((start) => start()));
  const [canceled, edited, ...payments] = racers.map((start) => replies[turned.indexOf(start)]!);

  const order = (await getOrder(api, id)).body;
  const list = await send(`${api}/charges?order=${id}`);
  const charges = list.body.data as ChargeSeen[];
  const paid = payments.filter(({ status }) => status === 201);
  expect(charges).toHaveLength(paid.length); // a refused payment leaves no row
  if (order.status === 'canceled') {
    expect([canceled!.status, order.charge, paid.length]).toEqual([204, null, 0]);
    for (const { status, body } of payments) {
      expect([status, body.code]).toEqual([409, 'order_canceled']);
    }
    expect(order.total).toBe(edited!.status === 200 ? after : before);
    return 'canceled';
  }
  expect([order.status, canceled!.status, paid.length]).toEqual(['paid', 409, 1]);
  // Changed before it was held, or not changed.
  const total = edited!.status === 200 ? after : before;
  expect([200, 409, 412]).toContain(edited!.status);
  expect(order).toMatchObject({ total, charge: paid[0]!.body.id });
  expect(charges).toMatchObject([{ id: order.charge, status: 'succeeded', amount: total }]);
  return 'paid';
}

test('cancel, edit and pay in parallel, sixty rounds: no canceled or changed order has a charge', async () => {
  const ends = new Map<string, number>();
  let number = 0;
  // Four rounds at a time: requests of other rounds shuffle the order of execution.
  const lane = async () => {
    while (number < 60) {
      const end = await round(number++);
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
  // Proof of a race: each side has won at least once.
  expect(ends.get('paid')).toBeGreaterThan(0);
  expect(ends.get('canceled')).toBeGreaterThan(0);

  const orders = await service.db.query(
    `SELECT id, total::int AS amount FROM orders WHERE status = 'paid' ORDER BY id`,
  );
  const taken = (await paymentsAtProcessor(service.sandboxUrl)).map(({ amount, metadata }) => ({
    id: metadata.order,
    amount,
  }));
  expect(taken.sort((a, b) => (a.id! < b.id! ? -1 : 1))).toEqual(
    orders.rows.sort((a, b) => (a.id < b.id ? -1 : 1)),
  );
});

test('two writers with one If-Match, a hundred rounds: one wins, the other gets 412', async () => {
  const id = newId();
  let { etag } = (await putOrder(api, id, orderOf(1))).headers;
  for (let round = 0; round < 100; round++) {
    const headers = { 'if-match': etag };
    const replies = await Promise.all(
      [api, other.url].map((url, i) => putOrder(url, id, orderOf(1000 + round * 2 + i), headers)),
    );
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 412]);
    const winner = replies.find(({ status }) => status === 200)!;
    expect((await getOrder(api, id)).text).toBe(winner.text);
    expect(winner.body.version).toBe(round + 2);
    expect(winner.headers.etag).not.toBe(etag);
    ({ etag } = winner.headers);
  }
});

test('fifty first PUTs of one id make one order', async () => {
  const id = newId();
  const replies = await Promise.all(
    Array.from({ length: 50 }, (_, i) => putOrder(i % 2 ? api : other.url, id)),
  );
  expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
  expect(replies.filter(({ status }) => status === 200)).toHaveLength(49);
  expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
});

describe('an order that is edited after a charge has read it and before it holds it', () => {
  /** Lets the charge read the order, holds it before `holdOrder`, changes the order, and releases the charge. */
  async function editMeanwhile(
    id: string,
    charge: Record<string, unknown>,
    change: (db: pg.PoolClient) => Promise<unknown>,
  ) {
    const db = await service.db.connect();
    try {
      await db.query('BEGIN');
      await change(db);
      const reply = pay(api, id, newId('key'), charge);
      // The charge has read the old row, the only visible one, and waits for this change.
      const held = 'UPDATE orders SET charge_id';
      await until(async () => (await statementsWaiting(service.db, held)) === 1);
      await db.query('COMMIT');
      return await reply;
    } finally {
      db.release();
    }
  }
  const edit = (id: string) => (db: pg.PoolClient) =>
    db.query(`UPDATE orders SET total = 7000, items = $2, version = version + 1 WHERE id = $1`, [
      id,
      JSON.stringify(orderOf(7000).items),
    ]);

  test('is charged with its new total', async () => {
    const id = newId();
    await putOrder(api, id, orderOf(1000));
    const reply = await editMeanwhile(id, {}, edit(id));
    expect(reply).toMatchObject({ status: 201, body: { amount: 7000 } });
    expect((await getOrder(api, id)).body).toMatchObject({ status: 'paid', total: 7000 });
  });

  test('is not charged if the request names the old total', async () => {
    const id = newId();
    await putOrder(api, id, orderOf(1000));
    const reply = await editMeanwhile(id, { amount: 1000 }, edit(id));
    expect(reply).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    expect((await getOrder(api, id)).body).toMatchObject({ status: 'open', charge: null });
  });

  test('is not charged if it was canceled', async () => {
    const id = newId();
    await putOrder(api, id, orderOf(1000));
    const reply = await editMeanwhile(id, {}, (db) =>
      db.query(`UPDATE orders SET status = 'canceled', version = version + 1 WHERE id = $1`, [id]),
    );
    expect(reply).toMatchObject({ status: 409, body: { code: 'order_canceled' } });
    // Canceled by SQL, it has no event, which the audit would report.
    await service.db.query(`UPDATE orders SET status = 'open' WHERE id = $1`, [id]);
  });
});

describe('the database itself', () => {
  test('refuses a second live charge for an order', async () => {
    const id = newId();
    await putOrder(api, id, orderOf(1000));
    const { body } = await pay(api, id, newId('key'));
    for (const status of ['pending', 'succeeded']) {
      const second = service.db.query(
        `INSERT INTO charges (account_id, id, status, amount, currency, payment_method, order_id, metadata, processor,
           processor_parameters, processor_reference, settled_at)
         SELECT account_id, 'ch_second', $2, amount, currency, payment_method, order_id, metadata, processor,
           processor_parameters, 'pi_second', CASE $2 WHEN 'succeeded' THEN now() END FROM charges WHERE id = $1`,
        [body.id, status],
      );
      await expect(second).rejects.toMatchObject({ code: '23505' });
    }
  });

  test.each([
    ['a paid order without a charge', `status = 'paid', charge_id = NULL`],
    ['a total of nothing', `total = 0`],
  ])('refuses %s', async (_what, changes) => {
    const id = newId();
    await putOrder(api, id, orderOf(1000));
    const change = service.db.query(`UPDATE orders SET ${changes} WHERE id = $1`, [id]);
    await expect(change).rejects.toMatchObject({ code: '23514' });
  });
});
