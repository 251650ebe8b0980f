import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { TypeOrmDatabase, addApiKey } from '../support/internals.js';
import { startProxiedService, type ProxiedService } from '../support/proxied-service.js';
import { charge, lookUp, send, type Reply, type Send } from '../support/raw-client.js';

/**
 * The connection to PostgreSQL breaks during a request without a key. No record shows what happened, so the answer
 * claims no more than is known.
 */
let service: ProxiedService['service'];
let proxy: ProxiedService['proxy'];
let api: ProxiedService['api'];
let stop: ProxiedService['stop'];
beforeAll(async () => {
  ({ service, proxy, api, stop } = await startProxiedService());
});
afterAll(() => stop());

const ITEMS = [{ sku: 'tea', quantity: 1, unit_amount: 500 }];
const ORDER: Send = { method: 'PUT', body: { currency: 'eur', items: ITEMS } };
const PRODUCT: Send = { method: 'PUT', body: { name: 'Tea', on_hand: 5 } };
const DELETE: Send = { method: 'DELETE' };

function expectLost(reply: Reply, code: 'outcome_unknown' | 'database_unavailable'): void {
  expect(reply).toMatchObject({ status: 503, body: { code, retry: 'same_key' } });
  expect(Number(reply.headers['retry-after'])).toBeGreaterThanOrEqual(1);
}

describe('a write whose acknowledgement is lost: 503 outcome_unknown, and the retry finds it done', () => {
  test.each<[string, Send, RegExp | undefined, number]>([
    ['/orders/put', ORDER, /^INSERT INTO orders/, 200],
    ['/products/put', PRODUCT, undefined, 200],
  ])('PUT %s', async (path, request, statement, again) => {
    const lost = proxy.lose('answer', statement);
    const reply = await send(api.url + path, request);
    await lost;
    expectLost(reply, 'outcome_unknown');
    expect((await send(service.apiUrl + path)).status).toBe(200);
    expect((await send(api.url + path, request)).status).toBe(again);
  });

  test('DELETE /orders/{id}', async () => {
    await send(`${api.url}/orders/canceled`, ORDER);
    const lost = proxy.lose('answer');
    const reply = await send(`${api.url}/orders/canceled`, DELETE);
    await lost;
    expectLost(reply, 'outcome_unknown');
    const { body } = await send(`${service.apiUrl}/orders/canceled`);
    expect(body.status).toBe('canceled');
    expect((await send(`${api.url}/orders/canceled`, DELETE)).status).toBe(204);
  });

  test('DELETE /webhook-endpoints/{id}', async () => {
    const body = { url: 'https://shop.example/hook', events: ['order.paid'] };
    const { body: made } = await send(`${api.url}/webhook-endpoints`, { key: 'endpoint', body });
    const lost = proxy.lose('answer');
    const reply = await send(`${api.url}/webhook-endpoints/${made.id}`, DELETE);
    await lost;
    expectLost(reply, 'outcome_unknown');
    expect((await send(`${service.apiUrl}/webhook-endpoints/${made.id}`)).status).toBe(404);
    expect((await send(`${api.url}/webhook-endpoints/${made.id}`, DELETE)).status).toBe(204);
  });

  test('a create-only PUT: its retry gets 412, and GET shows the order', async () => {
    const create = { ...ORDER, headers: { 'if-none-match': '*' } };
    const lost = proxy.lose('answer', /^INSERT INTO orders/);
    const reply = await send(`${api.url}/orders/created`, create);
    await lost;
    expectLost(reply, 'outcome_unknown');
    expect(reply.body.detail).toMatch(/If-None-Match.*GET/);
    const again = await send(`${api.url}/orders/created`, create);
    expect(again).toMatchObject({ status: 412, body: { code: 'precondition_failed' } });
    const found = await send(`${api.url}/orders/created`);
    expect(found).toMatchObject({ status: 200, body: { items: ITEMS, version: 1 } });
  });
});

describe('a request that certainly had no effect: 503 database_unavailable', () => {
  test('a GET', async () => {
    const lost = proxy.lose('answer', /FROM orders/);
    const reply = await send(`${api.url}/orders`);
    await lost;
    expectLost(reply, 'database_unavailable');
  });

  test.each(['PUT', 'DELETE'] as const)('a %s that does not reach the database', async (method) => {
    proxy.down();
    const reply = await send(`${api.url}/orders/unreached`, method === 'PUT' ? ORDER : DELETE);
    proxy.up();
    expectLost(reply, 'database_unavailable');
  });

  test.each(['PUT', 'POST'])('a %s that fails while its API key is looked up', async (method) => {
    const apiKey = await newApiKey(); // a new key: a known one is cached for a second
    const lost = proxy.lose('answer', /FROM api_keys/);
    const reply =
      method === 'PUT'
        ? await send(`${api.url}/orders/unwritten`, { ...ORDER, apiKey })
        : await charge(api.url, 'unwritten', {}, { apiKey });
    await lost;
    expectLost(reply, 'database_unavailable');
    expect((await send(`${service.apiUrl}/orders/unwritten`)).status).toBe(404);
    expect((await lookUp(service.apiUrl, 'unwritten')).status).toBe(404);
  });
});

/** Another key of the first demo account. */
async function newApiKey(): Promise<string> {
  const db = new TypeOrmDatabase(api.dataSource);
  const [account] = await db.query<{ id: string }>(`SELECT id FROM accounts WHERE name = 'acme'`);
  return addApiKey(db, account!.id);
}
