import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, paymentsAtProcessor, paymentsOf } from '../support/books.js';
import { getCharge, send } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { cancelOrder, getOrder, newId, orderOf, pay, putOrder } from './orders.support.js';

const FIFTY = Array.from({ length: 50 });

let service: Service;
let api: string;
let other: Running;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
  other = await service.startApi();
});
afterAll(async () => {
  await expectCleanBooks({ ...service, ttlSeconds: 0 }); // the tests age their records
  await service.stop();
});

async function newOrder(total = 1000): Promise<string> {
  const id = newId();
  expect((await putOrder(api, id, orderOf(total))).status).toBe(201);
  return id;
}

/** The succeeded payments of an order, from the processor's ledger. */
async function capturesOf(order: string) {
  const payments = await paymentsAtProcessor(service.sandboxUrl);
  return payments.filter(({ metadata }) => metadata.order === order);
}

describe('fifty clients with fifty keys and one order', () => {
  test('make one charge and one payment; the other answers name that charge', async () => {
    const order = await newOrder();
    const replies = await Promise.all(
      FIFTY.map((_, i) => pay(i % 2 ? api : other.url, order, newId('key'))),
    );
    const paid = replies.filter(({ status }) => status === 201);
    expect(paid).toHaveLength(1);
    const { id } = paid[0]!.body;
    for (const refused of replies.filter((reply) => reply !== paid[0])) {
      expect(refused.status).toBe(409);
      expect(refused.body.resource).toEqual({ object: 'charge', id, url: `/charges/${id}` });
      if (refused.body.code === 'payment_pending') {
        expect(refused.body.retry).toBe('same_key');
        expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      } else {
        expect(refused.body).toMatchObject({ code: 'order_already_paid', retry: 'no' });
      }
    }
    expect(await capturesOf(order)).toMatchObject([{ metadata: { charge: id }, amount: 1000 }]);
    expect((await getOrder(api, order)).body).toMatchObject({ status: 'paid', charge: id });
    const { body } = await send(`${api}/charges?order=${order}`);
    expect(body.data).toMatchObject([{ id, status: 'succeeded' }]);
  });

  test('while the first is at the processor, the others get payment_pending, and their keys stay unused', async () => {
    const order = await newOrder();
    const open = service.gate.close();
    const first = pay(api, order, newId('key'));
    await service.gate.held(1);
    const keys = FIFTY.map(() => newId('key'));
    const replies = await Promise.all(
      keys.map((key, i) => pay(i % 2 ? api : other.url, order, key)),
    );
    open();
    const { id } = (await first).body;
    for (const refused of replies) {
      expect(refused).toMatchObject({ status: 409, body: { code: 'payment_pending' } });
      expect(refused.body.resource).toMatchObject({ id });
    }
    expect((await send(`${api}/idempotency-keys/${keys[0]}`)).status).toBe(404);
    // The same request with the same key, as `retry` said: now final.
    expect((await pay(api, order, keys[0]!)).body.code).toBe('order_already_paid');
    expect(await capturesOf(order)).toHaveLength(1);
  });
});

describe('a charge that fails', () => {
  test('leaves the order open, and another key pays it', async () => {
    const order = await newOrder();
    const key = newId('key');
    const card = { payment_method: 'pm_card_visa_chargeDeclinedInsufficientFunds' };
    const declined = await pay(api, order, key, card);
    expect(declined).toMatchObject({
      status: 402,
      body: { code: 'card_declined', decline_code: 'insufficient_funds', retry: 'new_key' },
    });
    expect((await getOrder(api, order)).body).toMatchObject({ status: 'open', charge: null });
    expect((await pay(api, order, key, card)).text).toBe(declined.text);
    const paid = await pay(api, order, newId('key'));
    expect(paid).toMatchObject({ status: 201, body: { order, amount: 1000, currency: 'eur' } });
    expect(await capturesOf(order)).toHaveLength(1);
    expect((await pay(api, order, key, card)).text).toBe(declined.text); // a snapshot that never changes
  });

  test('leaves the order free to be edited and canceled', async () => {
    const order = await newOrder();
    await pay(api, order, newId('key'), { payment_method: 'pm_card_visa_chargeDeclined' });
    const { etag } = (await getOrder(api, order)).headers;
    expect((await putOrder(api, order, orderOf(700), { 'if-match': etag! })).status).toBe(200);
    expect((await cancelOrder(api, order)).status).toBe(204);
  });
});

describe('amount and currency', () => {
  test.each<[object, string[]]>([
    [{ amount: 999 }, ['/amount']],
    [{ amount: 1001, currency: 'eur' }, ['/amount']],
    [{ currency: 'usd' }, ['/currency']],
    [{ amount: 1, currency: 'usd' }, ['/amount', '/currency']],
  ])('other than the order’s, %j, are refused', async (wrong, pointers) => {
    const order = await newOrder();
    const key = newId('key');
    const refused = await pay(api, order, key, { ...wrong });
    expect(refused).toMatchObject({ status: 400, body: { code: 'validation_failed' } });
    const errors = refused.body.errors as { pointer: string }[];
    expect(errors.map(({ pointer }) => pointer)).toEqual(pointers);
    expect((await getOrder(api, order)).body).toMatchObject({ charge: null, version: 1 });
    expect((await pay(api, order, key)).status).toBe(201); // the key was still unused
  });

  test('of an order older than the table of currencies are refused', async () => {
    const order = await newOrder();
    await service.db.query(`UPDATE orders SET currency = 'isk' WHERE id = $1`, [order]);
    const key = newId('key');
    const refused = await pay(api, order, key);
    expect(refused).toMatchObject({
      status: 400,
      body: { code: 'validation_failed', errors: [{ pointer: '/currency' }] },
    });
    await service.db.query(`UPDATE orders SET currency = 'eur' WHERE id = $1`, [order]);
    expect((await pay(api, order, key)).status).toBe(201);
  });

  test('may be sent if they match the order', async () => {
    const order = await newOrder();
    const said = { amount: 1000, currency: 'eur' };
    expect((await pay(api, order, newId('key'), said)).status).toBe(201);
  });
});

describe('a charge whose outcome is not known', () => {
  test('blocks edit, cancel and any other charge until it is known', async () => {
    const impatient = await service.startApi({ PROCESSOR_TIMEOUT_MS: '3000' });
    const order = await newOrder();
    const key = newId('key');
    const stuck = { payment_method: 'pm_lab_timeout' };
    const first = await pay(impatient.url, order, key, stuck);
    expect(first).toMatchObject({ status: 504, body: { code: 'processor_outcome_unknown' } });
    const id = first.body.charge;
    const resource = { object: 'charge', id, url: `/charges/${id}` };

    const { headers } = await getOrder(api, order);
    for (const refused of [
      await putOrder(api, order, orderOf(5), { 'if-match': headers.etag! }),
      await cancelOrder(api, order),
      await pay(other.url, order, newId('key')),
    ]) {
      expect(refused).toMatchObject({
        status: 409,
        body: { code: 'payment_pending', retry: 'same_key', resource },
      });
      expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
    expect((await putOrder(api, order, orderOf(1000))).status).toBe(200); // the same content is not a change

    expect((await pay(api, order, key, stuck)).status).toBe(201);
    expect((await getOrder(api, order)).body).toMatchObject({ status: 'paid', charge: id });
    expect(await paymentsOf(service.sandboxUrl, id)).toHaveLength(1);
    await impatient.stop();
  });
});

test('a late retry with an expired key gets idempotency_key_expired, not order_already_paid', async () => {
  const order = await newOrder();
  const [key, failedKey] = [newId('key'), newId('key')];
  const declined = { payment_method: 'pm_card_visa_chargeDeclined' };
  const failed = (await pay(api, order, failedKey, declined)).body.charge;
  const { id } = (await pay(api, order, key)).body;
  const expire = `UPDATE idempotency_records SET completed_at = now() - interval '8 days',
    expires_at = now() - interval '1 day' WHERE key = ANY($1)`;
  const reap = `DELETE FROM idempotency_records WHERE key = ANY($1)`;
  await service.db.query(
    `UPDATE charges SET settled_at = now() - interval '8 days' WHERE id = ANY($1)`,
    [[id, failed]],
  );
  for (const sql of [expire, reap]) {
    await service.db.query(sql, [[key, failedKey]]);
    const late = await pay(api, order, key);
    expect(late).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no', resource: { id } },
    });
    const lateFailed = await pay(api, order, failedKey, declined);
    expect(lateFailed).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'new_key', resource: { id: failed } },
    });
  }
  expect((await getCharge(api, id)).body.status).toBe('succeeded');
  expect(await capturesOf(order)).toHaveLength(1);
});

test('a refunded order stays paid', async () => {
  const order = await newOrder();
  const { id } = (await pay(api, order, newId('key'))).body;
  const before = await getOrder(api, order);
  expect((await send(`${api}/charges/${id}/refunds`, { key: newId('key'), body: {} })).status).toBe(
    201,
  );
  expect((await getOrder(api, order)).text).toBe(before.text);
  expect((await pay(api, order, newId('key'))).body.code).toBe('order_already_paid');
});
