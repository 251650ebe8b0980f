import type { OutgoingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { etagOf } from '../support/internals.js';
import { send, type Reply } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import {
  cancelOrder,
  getOrder,
  newId,
  ORDER,
  orderOf,
  putOrder,
  tagged,
} from './orders.support.js';

let service: Service;
let api: string;
let other: Running;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
  other = await service.startApi();
});
afterAll(() => service.stop());

const statusAndCode = ({ status, body }: Reply) => [status, body.code];

describe('PUT /orders/{id}', () => {
  test('makes the order with the id that the client chose', async () => {
    const id = newId();
    const body = { ...ORDER, email: 'ann@example.com', metadata: { cart: '7' } };
    const made = await putOrder(api, id, body);
    expect(made.status).toBe(201);
    expect(made.headers).toMatchObject({ location: `/orders/${id}`, etag: etagOf(made.body) });
    expect(made.body).toEqual({
      id,
      object: 'order',
      status: 'open',
      currency: 'eur',
      total: 2500,
      items: ORDER.items,
      email: 'ann@example.com',
      charge: null,
      fulfillment: null,
      metadata: { cart: '7' },
      version: 1,
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      updated_at: made.body.created_at,
    });
    const found = await getOrder(api, id);
    expect([found.text, found.headers.etag]).toEqual([made.text, made.headers.etag]);
  });

  test('with the same content again changes nothing, in any notation', async () => {
    const id = newId();
    const made = await putOrder(api, id, { ...ORDER, metadata: { a: '1', b: '2' } });
    const [tea, cup] = ORDER.items;
    const again = JSON.stringify({
      metadata: { b: '2', a: '1' },
      items: [{ unit_amount: 1000, quantity: 2, sku: tea!.sku }, cup],
      currency: 'eur',
    });
    const reply = await putOrder(other.url, id, again);
    expect([reply.status, reply.text]).toEqual([200, made.text]);
    expect(reply.headers.etag).toBe(made.headers.etag);
    expect(reply.headers).not.toHaveProperty('location');
  });

  test('treats -0 as 0', async () => {
    const id = newId();
    const free = `{"currency":"eur","items":[{"sku":"a","quantity":1,"unit_amount":5},
      {"sku":"gift","quantity":1,"unit_amount":-0}]}`;
    expect((await putOrder(api, id, free)).status).toBe(201);
    expect((await putOrder(api, id, free)).status).toBe(200);
  });

  test.each<[string, (body: typeof ORDER) => object]>([
    ['the order of the items', (body) => ({ ...body, items: [...body.items].reverse() })],
    ['a quantity', () => orderOf(1000, 'tea', 3)],
    ['the currency', (body) => ({ ...body, currency: 'usd' })],
    ['an email', (body) => ({ ...body, email: 'ann@example.com' })],
    ['metadata', (body) => ({ ...body, metadata: { a: '1' } })],
  ])('%s is other content: 428 without If-Match, 200 with it', async (_what, change) => {
    const id = newId();
    const made = await putOrder(api, id);
    const changed = change(ORDER);
    const refused = await putOrder(api, id, changed);
    expect(statusAndCode(refused)).toEqual([428, 'precondition_required']);
    expect(refused.body.retry).toBe('after_fix');
    const reply = await putOrder(api, id, changed, { 'if-match': made.headers.etag });
    expect([reply.status, reply.body.version]).toEqual([200, 2]);
    expect(reply.headers.etag).toBe(etagOf(reply.body));
    expect(reply.headers.etag).not.toBe(made.headers.etag);
    expect((await getOrder(api, id)).text).toBe(reply.text);
  });

  test('with other content and a stale If-Match is 412 and changes nothing', async () => {
    const id = newId();
    const made = await putOrder(api, id, orderOf(100));
    const known = { 'if-match': made.headers.etag };
    expect((await putOrder(api, id, orderOf(200), known)).status).toBe(200);
    const late = await putOrder(api, id, orderOf(300), known);
    expect(statusAndCode(late)).toEqual([412, 'precondition_failed']);
    expect((await getOrder(api, id)).body).toMatchObject({ total: 200, version: 2 });
  });

  test('with the same content and a stale If-Match is 200, because it is a retry', async () => {
    const id = newId();
    const made = await putOrder(api, id, orderOf(100));
    const known = { 'if-match': made.headers.etag };
    const first = await putOrder(api, id, orderOf(200), known);
    const retry = await putOrder(other.url, id, orderOf(200), known);
    expect([retry.status, retry.text]).toEqual([200, first.text]);
    expect(retry.headers.etag).toBe(first.headers.etag);
  });

  test('that arrives late never restores an old state', async () => {
    const id = newId();
    const made = await putOrder(api, id, orderOf(100));
    const known = { 'if-match': made.headers.etag };
    await putOrder(api, id, orderOf(200), known); // A's first attempt; its answer is lost
    const { etag } = (await getOrder(api, id)).headers;
    await putOrder(api, id, orderOf(300), { 'if-match': etag }); // B's write
    const conditions: OutgoingHttpHeaders[] = [known, {}, { 'if-none-match': '*' }];
    for (const headers of conditions) {
      for (const old of [orderOf(100), orderOf(200)]) {
        expect([412, 428]).toContain((await putOrder(api, id, old, headers)).status);
      }
    }
    expect((await getOrder(api, id)).body).toMatchObject({ total: 300, version: 3 });
  });

  test('with If-None-Match: * makes an order and never changes one', async () => {
    const id = newId();
    const createOnly = { 'if-none-match': '*' };
    expect((await putOrder(api, id, ORDER, createOnly)).status).toBe(201);
    for (const body of [ORDER, orderOf(100)]) {
      const refused = await putOrder(api, id, body, createOnly);
      expect(statusAndCode(refused)).toEqual([412, 'precondition_failed']);
    }
    expect((await getOrder(api, id)).body).toMatchObject({ total: 2500, version: 1 });
  });

  test.each(['*', '"some"', 'W/"some"', ''])(
    'with If-Match: %s on an id that is not there is 412',
    async (tag) => {
      const id = newId();
      const refused = await putOrder(api, id, ORDER, { 'if-match': tag });
      expect(statusAndCode(refused)).toEqual([412, 'precondition_failed']);
      expect((await getOrder(api, id)).status).toBe(404);
    },
  );
});

describe('If-Match', () => {
  test.each([
    '*',
    '"now"',
    ' "now" ',
    '"old", "now"',
    '"old","now","next"',
    ', ,"now",',
    'W/"now", "now"',
    // As a compressing proxy changes it: nginx, Apache, Caddy.
    'W/"now"',
    'W/"old", W/"now"',
    '"now-gzip"',
    'W/"now-br"',
    '"a,b", "now"',
  ])('%j names the order as it is now', async (tags) => {
    const id = newId();
    const made = await putOrder(api, id, orderOf(100));
    const reply = await putOrder(api, id, orderOf(200), { 'if-match': tagged(tags, made) });
    expect([reply.status, reply.body.version]).toEqual([200, 2]);
    expect(reply.headers.etag).not.toBe(made.headers.etag);
  });

  test.each([
    'W/"old"',
    'W/"NOW"',
    '"now-"',
    '"now-gzip-gzip"',
    '"-gzip"',
    '"1"', // the version
    '"v1"',
    '"0now"',
    '"now0"',
    '"NOW"',
    '"*"',
    '',
    ', ,',
  ])('%j does not name it', async (tags) => {
    const id = newId();
    const known = { 'if-match': tagged(tags, await putOrder(api, id, orderOf(100))) };
    const refused = await putOrder(api, id, orderOf(200), known);
    expect(statusAndCode(refused)).toEqual([412, 'precondition_failed']);
    expect((await cancelOrder(api, id, known)).status).toBe(412);
    expect((await getOrder(api, id)).body).toMatchObject({ total: 100, status: 'open' });
  });

  test.each([
    'w/"now"',
    'now',
    '1',
    '"now',
    'x"now"',
    '"now"x',
    '"old" "now"',
    '"old"; "now"',
    '*, "now"',
    '"old, "now""',
    '" now"',
    "'now'",
  ])('%j is malformed: 400, and nothing changes', async (tags) => {
    const id = newId();
    const made = await putOrder(api, id, orderOf(100));
    const refusedAt = async (pointer: string, ask: Promise<Reply>) =>
      expect(await ask).toMatchObject({
        status: 400,
        body: {
          code: 'validation_failed',
          retry: 'after_fix',
          detail: expect.stringContaining('malformed'),
          errors: [{ pointer }],
        },
      });
    const header = tagged(tags, made);
    for (const body of [orderOf(200), orderOf(100)])
      await refusedAt('/If-Match', putOrder(api, id, body, { 'if-match': header }));
    await refusedAt('/If-Match', cancelOrder(api, id, { 'if-match': header }));
    await refusedAt('/If-Match', putOrder(api, newId(), orderOf(100), { 'if-match': header }));
    const createOnly = { 'if-none-match': header };
    await refusedAt('/If-None-Match', putOrder(api, newId(), orderOf(100), createOnly));
    expect((await getOrder(api, id)).text).toBe(made.text);
  });

  test('on two header lines is one list', async () => {
    const id = newId();
    const made = await putOrder(api, id, orderOf(100));
    const reply = await send(`${api}/orders/${id}`, {
      method: 'PUT',
      body: orderOf(200),
      headers: { 'If-Match': ['"old"', tagged('"now"', made)] }, // two lines on the wire
    });
    expect(reply.status).toBe(200);
  });
});
