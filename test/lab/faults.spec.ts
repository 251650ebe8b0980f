import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TypeOrmDatabase, addApiKey, hashApiKey } from '../support/internals.js';
import { startApp, type TestApp } from '../support/app.js';
import { call, CHARGE, expectProblem, post } from '../support/client.js';
import { freshDatabase } from '../support/database.js';

const CRASHES = [
  'crash-before-reserve',
  'crash-after-reserve',
  'crash-after-processor',
  'crash-after-settle',
];

const fault = (name: string) => ({ 'lab-fault': name });

describe('with LAB=1', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let app: TestApp;
  beforeAll(async () => {
    database = await freshDatabase(); // the ledger counts all accounts
    app = await startApp({ env: { LAB: '1', DATABASE_URL: database.url } });
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  const ledger = async () => (await call(app, '/lab/ledger', { apiKey: null })).body;
  const lost = (path: string, body: unknown, options: Parameters<typeof post>[3]) =>
    expect(post(app, path, body, options)).rejects.toThrow('socket hang up');

  it.each(['explode', '', 'LOSE-REQUEST', 'lose-request, lose-response', 'constructor'])(
    'an unknown fault %p is refused, and the key stays unused',
    async (name) => {
      const key = randomUUID();
      const reply = await post(app, '/charges', CHARGE, { key, headers: fault(name) });
      expectProblem(reply, 400, 'validation_failed', 'after_fix');
      expect(reply.body.errors).toHaveLength(1);
      expect((await call(app, `/idempotency-keys/${key}`)).status).toBe(404);
    },
  );

  it.each(['lose-request', 'lose-response', ...CRASHES, 'explode'])(
    'GET does not accept %s',
    async (name) => {
      const reply = await call(app, '/charges', { headers: fault(name) });
      expectProblem(reply, 400, 'validation_failed', 'after_fix');
    },
  );

  it.each(CRASHES)('the naive route does not accept %s', async (name) => {
    const reply = await post(app, '/lab/naive/charges', CHARGE, { headers: fault(name) });
    expectProblem(reply, 400, 'validation_failed', 'after_fix');
  });

  it('lose-request has no effect, and the retry charges once', async () => {
    const before = await ledger();
    const key = randomUUID();
    await lost('/charges', CHARGE, { key, headers: fault('lose-request') });
    expect((await call(app, `/idempotency-keys/${key}`)).status).toBe(404);
    expect(await ledger()).toEqual(before);
    expect(
      (await post(app, '/charges', CHARGE, { key })).headers.get('Idempotent-Replayed'),
    ).toBeNull();
    expect((await ledger()).processor.payments).toBe(before.processor.payments + 1);
  });

  it('lose-response commits everything, and the retry charges nothing more', async () => {
    const before = await ledger();
    const key = randomUUID();
    await lost('/charges', CHARGE, { key, headers: fault('lose-response') });
    const retry = await post(app, '/charges', CHARGE, { key });
    expect(retry).toMatchObject({ status: 201, body: { status: 'succeeded' } });
    expect(retry.headers.get('Idempotent-Replayed')).toBe('true');
    const after = await ledger();
    expect(after.processor.payments).toBe(before.processor.payments + 1);
    expect(after.difference).toBe(0);
  });

  it('lose-response on the naive route charges twice (control)', async () => {
    const before = await ledger();
    await lost('/lab/naive/charges', CHARGE, { headers: fault('lose-response') });
    expect((await post(app, '/lab/naive/charges', CHARGE)).status).toBe(201);
    const after = await ledger();
    expect(after.naive.charges).toBe(before.naive.charges + 2);
    expect(after.processor.payments).toBe(before.processor.payments + 2);
  });

  it('the ledger has this shape, and its sums agree', async () => {
    const reply = await call(app, '/lab/ledger', { apiKey: null });
    expect(reply.status).toBe(200);
    const both = { charges: expect.any(Number), amount: expect.any(Number) };
    expect(reply.body).toEqual({
      merchant: both,
      naive: both,
      processor: { payments: expect.any(Number), amount: expect.any(Number) },
      difference: expect.any(Number),
    });
    const { merchant, naive, processor, difference } = reply.body;
    expect(difference).toBe(processor.amount - merchant.amount - naive.amount);
  });

  it('the ledger is also an HTML table', async () => {
    const { merchant, naive, processor, difference } = await ledger();
    const { text } = await call(app, '/lab/ledger.txt', { apiKey: null });
    expect(text.split('\n').map((line) => line.trim().split(/ +/))).toEqual([
      ['count', 'amount'],
      ['merchant', String(merchant.charges), String(merchant.amount)],
      ['naive', String(naive.charges), String(naive.amount)],
      ['processor', String(processor.payments), String(processor.amount)],
      ['difference', String(difference)],
      [''],
    ]);
  });

  it('GET / links to the ledger and to the lab’s documentation', async () => {
    const { body } = await call(app, '/', { apiKey: null });
    expect(body).toMatchObject({
      lab: '/docs#/Lab',
      ledger: '/lab/ledger',
      ledger_text: '/lab/ledger.txt',
    });
  });

  it('the naive route charges for the account of the API key; without one, for acme', async () => {
    const demo = await addApiKey(new TypeOrmDatabase(app.db), app.acme.id, 'sk_test_acme');
    const owners = async () =>
      (await app.db.query('SELECT account_id FROM naive_charges ORDER BY created_at')).map(
        ({ account_id }: { account_id: string }) => account_id,
      );
    const before = (await owners()).length;
    for (const apiKey of [app.globex.apiKey, null, 'sk_test_nobody'])
      expect((await post(app, '/lab/naive/charges', CHARGE, { apiKey, key: null })).status).toBe(
        201,
      );
    expect((await owners()).slice(before)).toEqual([app.globex.id, app.acme.id, app.acme.id]);
    await app.db.query('UPDATE api_keys SET revoked_at = now() WHERE key_hash = $1', [
      hashApiKey(demo),
    ]);
    await delay(1_000); // real time: a process caches a key for this long
    const anonymous = await post(app, '/lab/naive/charges', CHARGE, { apiKey: null });
    expectProblem(anonymous, 401, 'unauthorized', 'after_fix');
  });

  it('the naive route sends the processor description and metadata, but no id of ours', async () => {
    const description = 'Two cups';
    const pairs = Array.from({ length: 48 }, (_, i): [string, string] => [`k${i}`, 'v']);
    const metadata = { colour: 'blue', charge: 'ch_1', ...Object.fromEntries(pairs) };
    const made = await post(app, '/lab/naive/charges', { ...CHARGE, description, metadata });
    expect(made.status).toBe(201);
    const path = `/v1/payment_intents/${made.body.processor_reference}`;
    const reply = await fetch(app.sandboxUrl + path, {
      headers: { authorization: 'Bearer sk_test_x' },
    });
    const reported = (await reply.json()) as { description: string; metadata: object };
    expect(reported).toMatchObject({ description, metadata: { colour: 'blue', k0: 'v' } });
    expect(reported.metadata).toMatchObject({ naive_charge: made.body.id });
    expect(reported.metadata).not.toHaveProperty('charge');
  });

  it('the naive route takes the price from an order but neither holds nor pays it', async () => {
    const items = [{ sku: 'cup', quantity: 2, unit_amount: 350 }];
    const order = { currency: 'eur', items };
    expect((await call(app, '/orders/naive-1', { method: 'PUT', body: order })).status).toBe(201);
    const body = { payment_method: 'pm_card_visa', order: 'naive-1' };
    for (let i = 0; i < 2; i++) {
      const reply = await post(app, '/lab/naive/charges', body, { apiKey: app.acme.apiKey });
      expect(reply).toMatchObject({ status: 201, body: { amount: 700, currency: 'eur' } });
    }
    expect((await call(app, '/orders/naive-1')).body.status).toBe('open');
    const none = await post(app, '/lab/naive/charges', { ...body, order: 'naive-2' });
    expectProblem(none, 404, 'not_found', 'after_fix');
  });

  it.each([
    [415, 'unsupported_media_type', CHARGE, { 'content-type': 'text/plain' }],
    [400, 'malformed_json', '[]', {}],
    [400, 'validation_failed', { ...CHARGE, amount: 0 }, {}],
  ])('the naive route also answers %i %s', async (status, code, body, headers) => {
    expectProblem(
      await post(app, '/lab/naive/charges', body, { headers }),
      status,
      code,
      'after_fix',
    );
  });
});

describe('without LAB=1', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
  });
  afterAll(() => app.stop());

  it.each(['lose-request', 'lose-response', ...CRASHES, 'explode'])(
    '%s is ignored',
    async (name) => {
      expect((await post(app, '/charges', CHARGE, { headers: fault(name) })).status).toBe(201);
      expect((await call(app, '/charges', { headers: fault(name) })).status).toBe(200);
    },
  );

  it.each(['/lab', '/lab/ledger', '/lab/ledger.txt', '/lab/naive/charges'])(
    '%s is not a route',
    async (path) => {
      expectProblem(await call(app, path), 404, 'not_found', 'no');
      expectProblem(await post(app, path, CHARGE), 404, 'not_found', 'no');
    },
  );
});
