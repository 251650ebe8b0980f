import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { send } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { getOrder, newId, ORDER, putOrder, putProduct } from './orders.support.js';

let service: Service;
let api: string;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
});
afterAll(() => service.stop());

const MAX = 99_999_999;
const ITEM = { sku: 'tea', quantity: 1, unit_amount: 100 };
const withItem = (changes: object) => ({ currency: 'eur', items: [{ ...ITEM, ...changes }] });
const withItems = (items: unknown) => ({ currency: 'eur', items });

describe('an order takes', () => {
  test.each<[string, object, number]>([
    ['one item of the smallest amount', withItem({ unit_amount: 1 }), 1],
    ['the largest unit amount', withItem({ unit_amount: MAX }), MAX],
    ['the largest quantity', withItem({ quantity: 10_000, unit_amount: 9_999 }), 99_990_000],
    [
      'a total of exactly the largest amount',
      withItems([{ ...ITEM, quantity: 9_999, unit_amount: 10_001 }]),
      MAX,
    ],
    [
      'something free beside something paid',
      withItems([ITEM, { ...ITEM, sku: 'gift', unit_amount: 0 }]),
      100,
    ],
    ['a hundred items', withItems(Array.from({ length: 100 }, () => ITEM)), 10_000],
    ['the same sku twice', withItems([ITEM, ITEM]), 200],
    ['a sku of 64 characters', withItem({ sku: `${'A_-9'.repeat(16)}` }), 100],
    ['1.0 and 1e2, which are whole', withItem({}), 100],
    ['metadata up to its limits', { ...ORDER, metadata: pairs(50, 40, 500) }, 2500],
    ['an address', { ...ORDER, email: 'ann+tea@example.co.uk' }, 2500],
  ])('%s', async (_what, body, total) => {
    const reply = await putOrder(api, newId(), body);
    expect(reply).toMatchObject({ status: 201, body: { total } });
  });
});

describe('an order refuses', () => {
  test.each<[string, unknown, string[]]>([
    ['no items', withItems([]), ['/items']],
    ['101 items', withItems(Array.from({ length: 101 }, () => ITEM)), ['/items']],
    ['items that are no list', withItems({ 0: ITEM, length: 1 }), ['/items']],
    ['items left out', { currency: 'eur' }, ['/items']],
    ['items null', withItems(null), ['/items']],
    ['an item that is null', withItems([null]), ['/items/0']],
    ['an item that is a list', withItems([ITEM, []]), ['/items/1']],
    ['an item in a list of its own', withItems([[ITEM]]), ['/items/0']],
    ['an item that is text', withItems(['tea']), ['/items/0']],
    [
      'an empty item',
      withItems([{}]),
      ['/items/0/sku', '/items/0/quantity', '/items/0/unit_amount'],
    ],
    ['a quantity of 0', withItem({ quantity: 0 }), ['/items/0/quantity']],
    ['a quantity below 0', withItem({ quantity: -1 }), ['/items/0/quantity']],
    ['a quantity of 10 001', withItem({ quantity: 10_001 }), ['/items/0/quantity']],
    ['half a thing', withItem({ quantity: 0.5 }), ['/items/0/quantity']],
    ['a quantity as text', withItem({ quantity: '1' }), ['/items/0/quantity']],
    ['a quantity of null', withItem({ quantity: null }), ['/items/0/quantity']],
    ['a unit amount below 0', withItem({ unit_amount: -1 }), ['/items/0/unit_amount']],
    [
      'a unit amount beyond the largest',
      withItem({ unit_amount: MAX + 1 }),
      ['/items/0/unit_amount'],
    ],
    ['a unit amount beyond 2^53', withItem({ unit_amount: 2 ** 60 }), ['/items/0/unit_amount']],
    ['cents as a fraction', withItem({ unit_amount: 9.99 }), ['/items/0/unit_amount']],
    ['a unit amount as text', withItem({ unit_amount: '100' }), ['/items/0/unit_amount']],
    ['an empty sku', withItem({ sku: '' }), ['/items/0/sku']],
    ['a sku of 65 characters', withItem({ sku: 'a'.repeat(65) }), ['/items/0/sku']],
    ['a sku with a space', withItem({ sku: 'green tea' }), ['/items/0/sku']],
    ['a sku with a line end', withItem({ sku: 'tea\n' }), ['/items/0/sku']],
    ['a sku in another script', withItem({ sku: 'чай' }), ['/items/0/sku']],
    ['a sku that is a number', withItem({ sku: 7 }), ['/items/0/sku']],
    ['an unknown member in an item', withItem({ 'a/b~c': 1 }), ['/items/0/a~1b~0c']],
    [
      'a fault in a later item',
      withItems([ITEM, ITEM, { ...ITEM, quantity: 0 }]),
      ['/items/2/quantity'],
    ],
    ['a total of nothing', withItem({ unit_amount: 0 }), ['/items']],
    [
      'a total of one too much',
      withItems([
        { ...ITEM, unit_amount: MAX },
        { ...ITEM, unit_amount: 1 },
      ]),
      ['/items'],
    ],
    [
      'a total of 10^14',
      withItems(
        Array.from({ length: 100 }, () => ({ ...ITEM, quantity: 10_000, unit_amount: MAX })),
      ),
      ['/items'],
    ],
    ['no currency', { items: [ITEM] }, ['/currency']],
    ['a currency in capitals', { ...ORDER, currency: 'EUR' }, ['/currency']],
    ['an unknown currency', { ...ORDER, currency: 'zzz' }, ['/currency']],
    [
      'a currency that the processor counts otherwise',
      { ...ORDER, currency: 'isk' },
      ['/currency'],
    ],
    [
      'a total that does not end in 0, in three decimals',
      { ...withItem({ unit_amount: 101 }), currency: 'kwd' },
      ['/items'],
    ],
    ['an email of null', { ...ORDER, email: null }, ['/email']],
    ['an email that is none', { ...ORDER, email: 'ann' }, ['/email']],
    ['two addresses', { ...ORDER, email: 'a@example.com,b@example.com' }, ['/email']],
    ['metadata of null', { ...ORDER, metadata: null }, ['/metadata']],
    ['metadata that is a list', { ...ORDER, metadata: ['a'] }, ['/metadata']],
    ['51 pairs of metadata', { ...ORDER, metadata: pairs(51, 4, 1) }, ['/metadata']],
    [
      'members that only the server writes',
      { ...ORDER, status: 'paid', total: 1, id: 'x' },
      ['/status', '/total', '/id'],
    ],
  ])('%s', async (_what, body, pointers) => {
    const id = newId();
    const put = await putOrder(api, id, body);
    const post = await send(`${api}/orders`, { key: id, body });
    for (const { status, body: problem } of [put, post]) {
      expect([status, problem.code, problem.retry]).toEqual([
        400,
        'validation_failed',
        'after_fix',
      ]);
      const errors = problem.errors as { pointer: string; detail: string }[];
      expect(errors.map(({ pointer }) => pointer).sort()).toEqual([...pointers].sort());
      expect(errors.every(({ detail }) => detail.length > 5)).toBe(true);
    }
    expect((await getOrder(api, id)).status).toBe(404);
    expect((await send(`${api}/idempotency-keys/${id}`)).status).toBe(404);
  });

  test.each<[string, object]>([
    ['a value that is a number', { a: 1 }],
    ['a value of 501 characters', { a: 'x'.repeat(501) }],
    ['a key of 41 characters', { ['k'.repeat(41)]: 'x' }],
  ])('metadata with %s', async (_what, metadata) => {
    const refused = await putOrder(api, newId(), { ...ORDER, metadata });
    expect([refused.status, refused.body.code]).toEqual([400, 'validation_failed']);
    expect((refused.body.errors as { pointer: string }[])[0]?.pointer).toMatch(/^\/metadata/);
  });
});

describe('an id of a client', () => {
  test.each(['a', '-', '_', '0', 'A-b_9', 'x'.repeat(64)])('may be %s', async (id) => {
    expect((await putOrder(api, id)).status).toBe(201);
    expect((await getOrder(api, id)).body.id).toBe(id);
  });

  test.each([
    'a.b',
    'a..',
    'a/b',
    '../charges',
    'a b',
    'zażółć',
    '订单',
    '😀',
    'a%20b',
    'a\nb',
    "a'; DROP TABLE orders; --",
    'x'.repeat(65),
    'x'.repeat(2000),
  ])('may not be %j: 400 for PUT, 404 for all other requests', async (id) => {
    const path = encodeURIComponent(id);
    const refused = await send(`${api}/orders/${path}`, { method: 'PUT', body: ORDER });
    expect([refused.status, refused.body.code]).toEqual([400, 'validation_failed']);
    expect(refused.body.errors).toEqual([{ pointer: '/id', detail: expect.any(String) }]);
    expect((await send(`${api}/orders/${path}`)).status).toBe(404);
    expect((await send(`${api}/orders/${path}`, { method: 'DELETE' })).status).toBe(404);
    const product = await send(`${api}/products/${path}`, {
      method: 'PUT',
      body: { name: 'A', on_hand: 1 },
    });
    expect(product.body.errors).toEqual([{ pointer: '/sku', detail: expect.any(String) }]);
  });

  test.each(['%00', 'a%00b'])('that is %s finds no order', async (path) => {
    const reply = await send(`${api}/orders/${path}`);
    const unknown = await send(`${api}/orders/never-made`);
    expect({ ...reply.body, request_id: '' }).toEqual({ ...unknown.body, request_id: '' });
    const put = await send(`${api}/orders/${path}`, { method: 'PUT', body: ORDER });
    expect([put.status, put.body.code]).toEqual([400, 'validation_failed']);
  });
});

describe('a product', () => {
  test.each<[string, object, string[]]>([
    ['no name', { on_hand: 1 }, ['/name']],
    ['an empty name', { name: '', on_hand: 1 }, ['/name']],
    ['a name of 256 characters', { name: 'x'.repeat(256), on_hand: 1 }, ['/name']],
    ['no stock', { name: 'A' }, ['/on_hand']],
    ['stock below 0', { name: 'A', on_hand: -1 }, ['/on_hand']],
    ['half a thing', { name: 'A', on_hand: 1.5 }, ['/on_hand']],
    ['stock as text', { name: 'A', on_hand: '1' }, ['/on_hand']],
    ['stock of null', { name: 'A', on_hand: null }, ['/on_hand']],
    ['stock beyond 10^8', { name: 'A', on_hand: MAX + 1 }, ['/on_hand']],
    ['what only the server writes', { name: 'A', on_hand: 1, held: 0 }, ['/held']],
  ])('refuses %s', async (_what, body, pointers) => {
    const sku = newId('sku');
    const refused = await send(`${api}/products/${sku}`, { method: 'PUT', body });
    expect([refused.status, refused.body.code]).toEqual([400, 'validation_failed']);
    const errors = refused.body.errors as { pointer: string }[];
    expect(errors.map(({ pointer }) => pointer)).toEqual(pointers);
    expect((await send(`${api}/products/${sku}`)).status).toBe(404);
  });

  test('may start without stock', async () => {
    const sku = newId('sku');
    expect((await putProduct(api, sku, 0)).status).toBe(201);
    expect((await putProduct(api, sku, -0)).status).toBe(200);
  });
});

/** This many pairs, with keys and values of these lengths. */
function pairs(count: number, keyLength: number, valueLength: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [
      String(i).padStart(keyLength, 'k'),
      'v'.repeat(valueLength),
    ]),
  );
}
