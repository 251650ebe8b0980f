import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { etagOf } from '../support/internals.js';
import { lookUp, send, type Reply } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { cancelOrder, getOrder, newId, ORDER, orderOf, pay, putOrder } from './orders.support.js';

let service: Service;
let api: string;
let other: Running;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
  other = await service.startApi();
});
afterAll(() => service.stop());

const post = (key: string, body: unknown = ORDER, url = api) =>
  send(`${url}/orders`, { key, body });

async function countOrders(): Promise<number> {
  const { rows } = await service.db.query('SELECT count(*)::int AS count FROM orders');
  return rows[0].count;
}

describe('POST /orders', () => {
  test('two clicks make one order, with one id, one answer, one ETag and one Location', async () => {
    const key = newId('key');
    const before = await countOrders();
    const [first, second] = await Promise.all([post(key), post(key, ORDER, other.url)]);
    expect(first.body.id).toMatch(/^ord_[0-9a-v]{32}$/);
    for (const reply of [first, second, await post(key)]) {
      expect([reply.status, reply.text]).toEqual([201, first.text]);
      expect(reply.headers).toMatchObject({
        etag: etagOf(first.body),
        location: `/orders/${first.body.id}`,
        'content-type': first.headers['content-type'],
        'idempotency-expires': first.headers['idempotency-expires'],
      });
    }
    expect(await countOrders()).toBe(before + 1);
    expect((await getOrder(api, first.body.id)).text).toBe(first.text);
  });

  test('fifty concurrent requests over two instances make one order', async () => {
    const key = newId('key');
    const before = await countOrders();
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, i) => post(key, ORDER, i % 2 ? api : other.url)),
    );
    expect(new Set(replies.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(replies[0]!.status).toBe(201);
    const executed = replies.filter(({ headers }) => !('idempotent-replayed' in headers));
    expect(executed).toHaveLength(1);
    expect(await countOrders()).toBe(before + 1);
  });

  test('the replay is a snapshot with its ETag; GET shows the current order', async () => {
    const key = newId('key');
    const { body, text, headers } = await post(key);
    const edited = await putOrder(api, body.id, orderOf(100), { 'if-match': headers.etag });
    expect([edited.status, edited.body.version]).toEqual([200, 2]);
    const replay = await post(key);
    expect([replay.text, replay.headers.etag]).toEqual([text, headers.etag]);
    expect((await getOrder(api, body.id)).headers.etag).toBe(edited.headers.etag);
    expect(edited.headers.etag).not.toBe(headers.etag);
  });

  test('another order under the key is 422; without a key it is 400', async () => {
    const key = newId('key');
    await post(key);
    const reused = await post(key, orderOf(100));
    expect(reused).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } });
    expect(reused.body.mismatched).toEqual(['/items']);
    const missing = await send(`${api}/orders`, { body: ORDER });
    expect(missing).toMatchObject({ status: 400, body: { code: 'idempotency_key_missing' } });
  });

  test('the key is completed after it was first seen, even though one transaction does both', async () => {
    const key = newId('key');
    await post(key);
    const { body } = await lookUp(api, key);
    expect(Date.parse(String(body.completed_at))).toBeGreaterThanOrEqual(
      Date.parse(String(body.first_seen_at)),
    );
  });

  test('a refused order leaves the key unused', async () => {
    const key = newId('key');
    expect((await post(key, orderOf(0))).status).toBe(400);
    expect((await post(key, orderOf(100))).status).toBe(201);
  });

  test('after the key has expired the order still prevents a second one', async () => {
    const key = newId('key');
    const { body } = await post(key);
    await service.db.query(
      `UPDATE idempotency_records SET completed_at = now() - interval '8 days',
         expires_at = now() - interval '1 day' WHERE key = $1`,
      [key],
    );
    for (const again of [ORDER, orderOf(100), {}]) {
      const late = await post(key, again);
      expect(late).toMatchObject({ status: 409, body: { code: 'idempotency_key_expired' } });
      expect(late.body.resource).toEqual({
        object: 'order',
        id: body.id,
        url: `/orders/${body.id}`,
      });
    }
  });
});

describe('DELETE /orders/{id}', () => {
  test('cancels, and may be repeated', async () => {
    const id = newId();
    await putOrder(api, id);
    for (const url of [api, other.url, api]) {
      const reply = await cancelOrder(url, id);
      expect([reply.status, reply.text]).toEqual([204, '']);
    }
    expect((await getOrder(api, id)).body).toMatchObject({ status: 'canceled', version: 2 });
  });

  test('fifty in parallel cancel once', async () => {
    const id = newId();
    await putOrder(api, id);
    const replies = await Promise.all(Array.from({ length: 50 }, () => cancelOrder(api, id)));
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 204));
    expect((await getOrder(api, id)).body.version).toBe(2);
  });

  test('with a stale If-Match is 412; a repeat with the If-Match that canceled is 204', async () => {
    const id = newId();
    const stale = { 'if-match': (await putOrder(api, id, orderOf(100))).headers.etag };
    const edited = await putOrder(api, id, orderOf(200), stale);
    const current = { 'if-match': edited.headers.etag };
    expect((await cancelOrder(api, id, stale)).status).toBe(412);
    expect((await getOrder(api, id)).body.status).toBe('open');
    expect((await cancelOrder(api, id, current)).status).toBe(204);
    expect((await cancelOrder(api, id, current)).status).toBe(204);
  });

  test('a canceled order accepts neither new content nor a charge; the same content is 200', async () => {
    const id = newId();
    await putOrder(api, id);
    await cancelOrder(api, id);
    const resource = { object: 'order', id, url: `/orders/${id}` };
    const { etag } = (await getOrder(api, id)).headers;
    const edited = await putOrder(api, id, orderOf(1), { 'if-match': etag });
    const key = newId('key');
    for (const refused of [edited, await pay(api, id, key)]) {
      expect(refused).toMatchObject({ status: 409, body: { code: 'order_canceled', retry: 'no' } });
      expect(refused.body.resource).toEqual(resource);
    }
    expect((await send(`${api}/idempotency-keys/${key}`)).status).toBe(404);
    expect((await putOrder(api, id)).body).toMatchObject({ status: 'canceled' });
  });
});

describe('an id that was never issued, and one of another account', () => {
  const bytes = ({ status, text, body }: Reply) => [
    status,
    text.replace(String(body.request_id), ''),
  ];

  test('are the same 404 for GET, DELETE and a charge', async () => {
    const [theirs, unknown] = [newId(), newId()];
    await putOrder(api, theirs, ORDER, {}, { apiKey: 'sk_test_globex' });
    for (const ask of [getOrder, cancelOrder]) {
      const [foreign, absent] = [await ask(api, theirs), await ask(api, unknown)];
      expect(foreign).toMatchObject({ status: 404, body: { code: 'not_found' } });
      expect(bytes(foreign)).toEqual(bytes(absent));
    }
    const [foreign, absent] = [await pay(api, theirs, newId()), await pay(api, unknown, newId())];
    expect(foreign).toMatchObject({ status: 404, body: { code: 'not_found', retry: 'after_fix' } });
    expect(bytes(foreign)).toEqual(bytes(absent));
    const still = await send(`${api}/orders/${theirs}`, { apiKey: 'sk_test_globex' });
    expect(still.body).toMatchObject({ status: 'open', version: 1 });
  });

  test('one id may be an order of either account', async () => {
    const id = newId();
    await putOrder(api, id, orderOf(100));
    const theirs = await putOrder(api, id, orderOf(200), {}, { apiKey: 'sk_test_globex' });
    expect(theirs).toMatchObject({ status: 201, body: { total: 200 } });
    expect((await getOrder(api, id)).body.total).toBe(100);
  });
});

test('GET /orders lists the account’s orders, newest first, in pages', async () => {
  const ids = [];
  for (let i = 0; i < 5; i++) {
    ids.unshift((await post(newId('key'), orderOf(100 + i))).body.id);
  }
  const listed = async (query: string) => {
    const { body } = await send(`${api}/orders?${query}`);
    const data = body.data as { id: string }[];
    return { ...body, ids: data.map(({ id }) => id) };
  };
  const first = await listed('limit=2');
  expect(first).toMatchObject({ object: 'list', url: '/orders', has_more: true });
  expect(first.ids).toEqual(ids.slice(0, 2));
  expect((await listed(`limit=3&starting_after=${ids[1]}`)).ids).toEqual(ids.slice(2));
  expect((await listed(`limit=2&ending_before=${ids[3]}`)).ids).toEqual(ids.slice(1, 3));
  expect((await send(`${api}/orders?starting_after=unknown`)).status).toBe(400);
  expect((await send(`${api}/orders?status=open`)).status).toBe(400);
});
