import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeAccount, startApp, type TestAccount, type TestApp } from '../support/app.js';
import { call } from '../support/client.js';

const ROWS = 60;
const START = '2026-03-01T00:00:00.000001Z';

let app: TestApp;
let owner: TestAccount;
let newestFirst: string[];

beforeAll(async () => {
  app = await startApp();
  owner = await makeAccount(app.db, 'Owner of many charges');
  await call(app, '/orders/order-a', {
    method: 'PUT',
    apiKey: owner.apiKey,
    body: { currency: 'eur', items: [{ sku: 'tea', quantity: 1, unit_amount: 1 }] },
  });
  // Three in each microsecond, twenty in each millisecond: neither Date nor the time alone distinguishes them.
  const rows: { id: string; created_at: string }[] = await app.db.query(
    `INSERT INTO charges (account_id, id, status, amount, currency, payment_method, metadata, order_id,
       processor, processor_parameters, processor_reference, failure_code, settled_at, created_at)
     SELECT $1, 'ch_' || md5(n::text), (ARRAY['pending', 'succeeded', 'failed'])[n % 3 + 1], n + 1, 'eur', 'pm', '{}',
       CASE WHEN n % 3 = 2 OR n = 0 THEN 'order-a' END, 'sandbox', '{}',
       CASE WHEN n % 3 = 1 THEN 'pi_' || n END, CASE WHEN n % 3 = 2 THEN 'card_declined' END,
       CASE WHEN n % 3 > 0 THEN now() END,
       $2::timestamptz + (n / 3) * interval '1 microsecond' + (n / 20) * interval '1 millisecond'
     FROM generate_series(0, $3::int - 1) AS n
     RETURNING id, to_char(created_at, 'SS.US') AS created_at`,
    [owner.id, START, ROWS],
  );
  const order = ({ created_at, id }: (typeof rows)[number]) => `${created_at} ${id}`;
  newestFirst = rows.sort((a, b) => (order(a) < order(b) ? 1 : -1)).map(({ id }) => id);
});
afterAll(() => app.stop());

async function list(query = ''): Promise<{ ids: string[]; has_more: boolean }> {
  const { status, body } = await call(app, `/charges${query}`, { apiKey: owner.apiKey });
  expect({ status, object: body.object, url: body.url }).toEqual({
    status: 200,
    object: 'list',
    url: '/charges',
  });
  expect(Object.keys(body)).toEqual(['object', 'data', 'has_more', 'url']);
  return { ids: body.data.map(({ id }: { id: string }) => id), has_more: body.has_more };
}

async function refused(query: string): Promise<string[]> {
  const { status, body } = await call(app, `/charges?${query}`, { apiKey: owner.apiKey });
  expect({ status, code: body.code }).toEqual({ status: 400, code: 'validation_failed' });
  return body.errors.map(({ pointer }: { pointer: string }) => pointer);
}

describe('a page', () => {
  it('has the ten newest, by time and then id', async () => {
    expect(await list()).toEqual({ ids: newestFirst.slice(0, 10), has_more: true });
  });

  it.each([1, 59, 60, 100])('has up to %i', async (limit) => {
    expect(await list(`?limit=${limit}`)).toEqual({
      ids: newestFirst.slice(0, limit),
      has_more: limit < ROWS,
    });
  });

  it.each(['0', '101', '-1', '1.0', '1e1', '+1', '010', 'ten', '', '%31%30%00'])(
    'cannot have the limit %p',
    async (limit) => {
      expect(await refused(`limit=${limit}`)).toEqual(['/limit']);
    },
  );

  it('is empty for an account without charges', async () => {
    const empty = await makeAccount(app.db, 'Empty');
    const { body } = await call(app, '/charges', { apiKey: empty.apiKey });
    expect(body).toEqual({ object: 'list', data: [], has_more: false, url: '/charges' });
  });
});

describe('the cursors', () => {
  it.each([1, 7, 10, 59])('page through all by %i, forwards', async (limit) => {
    const seen: string[] = [];
    for (let page = await list(`?limit=${limit}`); ;) {
      seen.push(...page.ids);
      if (!page.has_more) break;
      page = await list(`?limit=${limit}&starting_after=${page.ids.at(-1)}`);
    }
    expect(seen).toEqual(newestFirst);
  });

  it.each([1, 7, 10, 59])('page through all by %i, backwards', async (limit) => {
    const seen: string[] = [newestFirst.at(-1) ?? ''];
    for (;;) {
      const page = await list(`?limit=${limit}&ending_before=${seen[0]}`);
      seen.unshift(...page.ids);
      if (!page.has_more) break;
    }
    expect(seen).toEqual(newestFirst);
  });

  it('at either end find nothing more', async () => {
    const nothing = { ids: [], has_more: false };
    expect(await list(`?starting_after=${newestFirst.at(-1)}`)).toEqual(nothing);
    expect(await list(`?ending_before=${newestFirst[0]}`)).toEqual(nothing);
  });

  it('exclude each other', async () => {
    const [a, b] = newestFirst;
    expect(await refused(`starting_after=${b}&ending_before=${a}`)).toEqual(['/ending_before']);
  });

  it.each(['ch_none', '', '%00', '%F0%9F%98%80', 'x'.repeat(256), "'"])(
    'cannot be %p',
    async (id) => {
      expect(await refused(`starting_after=${id}`)).toEqual(['/starting_after']);
      expect(await refused(`ending_before=${id}`)).toEqual(['/ending_before']);
    },
  );

  it('of another account get the same answer as unknown ones', async () => {
    const id = newestFirst[3];
    const answer = async (cursor: string | undefined) => {
      const { text, body } = await call(app, `/charges?starting_after=${cursor}`);
      return text.replace(body.request_id, '');
    };
    expect(await answer(id)).toBe(await answer(`ch_${'0'.repeat(32)}`));
  });
});

describe('the filters', () => {
  it.each(['pending', 'succeeded', 'failed'])('select by status=%s', async (status) => {
    const { body } = await call(app, `/charges?limit=100&status=${status}`, {
      apiKey: owner.apiKey,
    });
    expect(body.data).toHaveLength(ROWS / 3);
    for (const charge of body.data) expect(charge.status).toBe(status);
  });

  it('apply to every page', async () => {
    const all = (await list('?limit=100&order=order-a')).ids;
    expect(all).toHaveLength(ROWS / 3 + 1);
    const first = await list('?limit=4&order=order-a');
    const second = await list(`?limit=100&order=order-a&starting_after=${first.ids.at(-1)}`);
    expect([...first.ids, ...second.ids]).toEqual(all);
    expect(await list('?order=order-b')).toEqual({ ids: [], has_more: false });
    expect((await list('?order=order-a&status=pending&limit=100')).ids).toHaveLength(1);
  });

  const later = (await_: string) => `created[gte]=${await_}`;
  it.each([
    [later('2026-03-01T00:00:00.000001Z'), 60],
    [later('2026-03-01T00:00:00.000002Z'), 57],
    [`created%5Bgte%5D=2026-03-01T00:00:00.000002Z`, 57],
    [`created[lt]=2026-03-01T00:00:00.000002Z`, 3],
    [`created%5blt%5d=2026-03-01T00:00:00.000001Z`, 0],
    [later('2026-03-01T00:00:00.001Z'), 40],
    [later('2026-03-01T02:00:00.001%2B02:00'), 40],
    [later('2026-02-28T18:00:00.001-06:00'), 40],
    [later('2026-03-01T23:59:00.001%2B23:59'), 40],
    [later('2026-03-01'), 60],
    [later('2026-03-01T00:00'), 60],
    [later('2026-03-01T00:00:00'), 60],
    [later('2026-02-28T24:00:00Z'), 60],
    [later('2026-03-01T00:00:00.001000000Z'), 40],
    [later('0001-01-01'), 60],
    [later('9999-12-31T23:59:59.999999Z'), 0],
    [`${later('2026-03-01T00:00:00.000002Z')}&created[lt]=2026-03-01T00:00:00.000003Z`, 3],
    [`${later('2026-03-02')}&created[lt]=2026-03-01`, 0],
  ])('with %s leave %i', async (query, count) => {
    expect((await list(`?limit=100&${query}`)).ids).toHaveLength(count);
  });

  it.each([
    '2026-02-30',
    '2026-13-01',
    '2026-00-10',
    '2026-3-1',
    '20260301',
    '2026-03-01T25:00Z',
    '2026-03-01T24:01Z',
    '2026-03-01T00:60Z',
    '2026-03-01T00:00:60Z',
    '2026-03-01T00:00:00+24:00',
    '2026-03-01T00:00:00+02:00', // a plus sign that was not encoded is a space
    '2026-03-01T00:00.5Z',
    '0000-01-01',
    '0001-01-01T00:00%2B01:00',
    '9999-12-31T23:59-01:00',
    '+012026-03-01T00:00:00Z',
    '1772323200',
    'yesterday',
    '',
    '2026-03-01%0A',
  ])('refuse a created of %p', async (time) => {
    expect(await refused(`created[gte]=${time}`)).toEqual(['/created[gte]']);
    expect(await refused(`created[lt]=${time}`)).toEqual(['/created[lt]']);
  });

  it.each([
    ['status=paid', '/status'],
    ['status=', '/status'],
    ['status=constructor', '/status'],
    ['order=a%20b', '/order'],
    ['order=', '/order'],
    ['status=failed&status=failed', '/status'],
    ['limit=1&limit=2', '/limit'],
    ['created[gte]=2026-01-01&created[gte]=2026-01-01', '/created[gte]'],
    ['created[gt]=2026-01-01', '/created[gt]'],
    ['created=2026-01-01', '/created'],
    ['expand[]=order', '/expand[]'],
    ['Limit=1', '/Limit'],
    ['__proto__=1', '/__proto__'],
    ['constructor=1', '/constructor'],
    ['a/b~c=1', '/a~1b~0c'],
    ['=1', '/'],
  ])('refuse %s', async (query, pointer) => {
    expect(await refused(query)).toEqual([pointer]);
  });

  it('report all errors together', async () => {
    expect((await refused('limit=0&status=x&nonsense=1&order=a&order=b')).sort()).toEqual([
      '/limit',
      '/nonsense',
      '/order',
      '/status',
    ]);
  });
});
