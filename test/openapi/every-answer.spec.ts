import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import Stripe from 'stripe';
import { startApp, type TestApp } from '../support/app.js';
import { freshDatabase } from '../support/database.js';
import { call as send, CHARGE } from '../support/client.js';
import { expectMatchesOpenApi } from '../support/openapi.js';
import {
  Answers,
  bodyFor,
  having,
  keyedRoutes,
  operations,
  ORDER,
  useUpTheRate,
} from './every-answer.support.js';

const WEBHOOK_SECRET = 'whsec_every-answer';

let app: TestApp;
let limited: TestApp;
/** Its own database: this file ages records, and other suites check all of theirs. */
let database: Awaited<ReturnType<typeof freshDatabase>>;
const answers = new Answers(() => app);
const { call } = answers;

beforeAll(async () => {
  database = await freshDatabase();
  const DATABASE_URL = database.url;
  app = await startApp({
    env: {
      DATABASE_URL,
      LAB: '1',
      PROCESSOR_TIMEOUT_MS: '5000',
      PROCESSOR_WEBHOOK_SECRET: WEBHOOK_SECRET,
    },
  });
  limited = await startApp({
    env: { DATABASE_URL, RATE_LIMIT_PER_SECOND: '1', RATE_LIMIT_BURST: '1' },
  });
});
afterAll(async () => {
  await limited.stop();
  await app.stop();
  await database.drop();
});

const newId = () => `order_${randomUUID()}`;

test('matches the document when a keyed request is new, repeated, reused and expired', async () => {
  const keyed = await keyedRoutes(answers);
  expect(keyed.map(([route]) => route).sort()).toEqual(
    operations
      .filter(({ operation }) => JSON.stringify(operation.parameters).includes('"Idempotency-Key"'))
      .map(({ route }) => route)
      .sort(),
  );
  for (const [route, values, body] of keyed) {
    const key = randomUUID();
    const status = /resend|rotate/.test(route) ? 200 : 201;
    const first = await call(route, status, values, { body, key, headers: { prefer: 'wait=5' } });
    const again = await call(route, status, values, { body, key });
    expect(again.text).toBe(first.text);
    await call(route, 422, values, { body: { ...body, metadata: {} }, key });
    await app.db.query(
      `UPDATE idempotency_records SET completed_at = completed_at - interval '30 days',
         expires_at = expires_at - interval '30 days' WHERE key = $1`,
      [key],
    );
    await call(route, 409, values, { body, key });
    await call(route, 400, values, { body, key: null });
    await call(route, 400, values, { body, key: '"' });
  }
});

test('matches the document when a payment does not succeed', async () => {
  const pay = (method: string, more: object = {}) => ({
    ...CHARGE,
    payment_method: method,
    ...more,
  });
  await call('POST /charges', 402, {}, { body: pay('pm_card_visa_chargeDeclined') });
  await call('POST /charges', 504, {}, { body: pay('pm_lab_timeout') });
  await call('POST /charges', 404, {}, { body: pay('pm_card_visa', { order: 'unknown' }) });
  const order = newId();
  await call('PUT /orders/{id}', 201, { id: order }, { body: ORDER });
  await call('PUT /orders/{id}', 200, { id: order }, { body: ORDER });
  await call('POST /charges', 201, {}, { body: { order, payment_method: 'pm_card_visa' } });
  await call('POST /charges', 409, {}, { body: { order, payment_method: 'pm_card_visa' } });
  await call('DELETE /orders/{id}', 409, { id: order });
  const { headers } = await call('GET /orders/{id}', 200, { id: order });
  const current = { 'if-match': headers.get('ETag') ?? '' };
  const other = { ...ORDER, email: 'a@example.com' };
  await call('PUT /orders/{id}', 409, { id: order }, { body: other, headers: current });
  const failed = await call('POST /charges', 402, {}, { body: pay('pm_card_visa_chargeDeclined') });
  const id = failed.body.charge;
  await call('POST /charges/{id}/refunds', 409, { id }, { body: {} });
  await call('POST /lab/naive/charges', 201, {}, { body: CHARGE });
  await call('POST /lab/naive/charges', 402, {}, { body: pay('pm_card_visa_chargeDeclined') });
  await call('POST /lab/naive/charges', 504, {}, { body: pay('pm_lab_timeout') });
});

test('matches the document when a request is conditional', async () => {
  const id = newId();
  const changed = { ...ORDER, email: 'b@example.com' };
  const product = { name: 'A mug', on_hand: 3 };
  for (const [path, values, body, other] of [
    ['/orders/{id}', { id }, ORDER, changed],
    ['/products/{sku}', { sku: id }, product, { ...product, on_hand: 4 }],
  ] as [string, Record<string, string>, object, object][]) {
    await call(`PUT ${path}`, 201, values, { body });
    const { headers } = await call(`GET ${path}`, 200, values);
    await call(`GET ${path}`, 304, values, {
      headers: { 'if-none-match': headers.get('ETag') ?? '' },
    });
    await call(`PUT ${path}`, 428, values, { body: other });
    await call(`PUT ${path}`, 412, values, { body: other, headers: { 'if-match': '"stale"' } });
    await call(`PUT ${path}`, 200, values, { body });
  }
  await call('DELETE /orders/{id}', 412, { id }, { headers: { 'if-match': '"stale"' } });
});

test('matches the document when an object is read', async () => {
  const key = randomUUID();
  const { body } = await call('POST /charges', 201, {}, { body: CHARGE, key });
  await call('GET /charges/{id}', 200, { id: body.id });
  await call('GET /charges', 200, {}, { query: '?status=succeeded&created[gte]=2020-01-01' });
  const refund = await call('POST /charges/{id}/refunds', 201, { id: body.id }, { body: {} });
  await call('GET /refunds/{id}', 200, { id: refund.body.id });
  await call('GET /charges/{id}/refunds', 200, { id: body.id });
  await call('GET /idempotency-keys/{key}', 200, { key });
  await call('POST /orders', 201, {}, { body: ORDER });
  await call('GET /orders', 200);
  const event = (await call('GET /events', 200)).body.data[0];
  await call('GET /events/{id}', 200, { id: event.id });
  const hook = { url: 'http://127.0.0.1:9/hooks', events: ['*'] };
  const { id } = (await call('POST /webhook-endpoints', 201, {}, { body: hook })).body;
  await call('GET /webhook-endpoints', 200);
  await call('GET /webhook-endpoints/{id}', 200, { id });
  await call('GET /webhook-endpoints/{id}/deliveries', 200, { id });
  await call('DELETE /webhook-endpoints/{id}', 204, { id });
  for (const path of [
    '/',
    '/health/live',
    '/health/ready',
    '/metrics',
    '/problems',
    '/problems/style.css',
    '/openapi.json',
    '/docs',
    '/lab/ledger',
    '/lab/ledger.txt',
  ]) {
    await call(`GET ${path}`, 200, {}, { apiKey: null });
  }
  await call('GET /problems/{code}', 200, { code: 'card_declined' }, { apiKey: null });
  await call('GET /docs/{file}', 200, { file: 'start.js' }, { apiKey: null });
});

test('matches the document when the processor sends a webhook', async () => {
  const payload = JSON.stringify({ id: 'evt_1', object: 'event', type: 'x', data: { object: {} } });
  const route = 'POST /webhooks/processor';
  await call(route, 400, {}, { body: payload, apiKey: null, key: null });
  await call(route, 413, {}, { body: 'x'.repeat(2 ** 20 + 1), apiKey: null, key: null });
  const header = Stripe.webhooks.generateTestHeaderString({ payload, secret: WEBHOOK_SECRET });
  await call(route, 200, {}, { body: payload, headers: { 'stripe-signature': header }, key: null });
});

test.each(having(401))('matches the document where %s has no API key', async (route) => {
  if (route.includes('/lab/')) return void answers.seen.add(`${route} 401`); // possible only without demo accounts
  await call(route, 401, {}, { apiKey: 'sk_test_wrong', body: bodyFor(route) });
});

test.each(having(404))('matches the document where %s finds nothing', async (route) => {
  const unknownOrder = { order: 'unknown', payment_method: 'pm_card_visa' };
  const body = route.endsWith('/charges') ? unknownOrder : bodyFor(route);
  await call(route, 404, { id: 'unknown' }, { body });
});

test.each(having(400))(
  'matches the document where %s is sent an unknown member or parameter',
  async (route) => {
    if (route === 'POST /webhooks/processor') return;
    const values = { sku: 'x', id: 'x' };
    const unknown = { unknown: 1, ...(bodyFor(route) as object | undefined) };
    await call(route, 400, values, bodyFor(route) ? { body: unknown } : { query: '?unknown=1' });
  },
);

test.each(having(413))(
  'matches the document where %s is sent a body that is too large or not JSON',
  async (route) => {
    if (route === 'POST /webhooks/processor') return;
    await call(route, 413, {}, { body: 'x'.repeat(70_000) });
    await call(route, 415, {}, { body: '<a/>', headers: { 'content-type': 'text/xml' } });
    await call(route, 400, {}, { body: '{' });
  },
);

test.each(having(429))('matches the document where %s is sent too often', async (route) => {
  await useUpTheRate(limited);
  const path = route.split(' ')[1] ?? '';
  for (;;) {
    const reply = await send(limited, path.replaceAll(/\{\w+\}/g, 'x'), {
      method: route.split(' ')[0],
    });
    if (reply.status !== 429) continue; // the rate limiter gained a token meanwhile
    return answers.expectFits(route, reply);
  }
});

test('matches the document when there is no such route or method', async () => {
  for (const [method, path] of [
    ['GET', '/nothing'],
    ['DELETE', '/charges'],
  ] as const) {
    expectMatchesOpenApi(method, path, await send(app, path, { method }));
  }
});

const breakable = operations.filter(({ operation }) =>
  JSON.stringify(operation.parameters).includes('"Lab-Fault"'),
);
test.each(breakable)('$route has the faults that the document lists', async (each) => {
  const { route, operation } = each;
  const parameters = operation.parameters as { name: string; schema: { enum?: string[] } }[];
  const listed = parameters.find(({ name }) => name === 'Lab-Fault')?.schema.enum ?? [];
  const headers = { 'lab-fault': 'no-such-fault' };
  const { body } = await call(route, 400, { id: 'x', sku: 'x' }, { headers, body: bodyFor(route) });
  expect(body.errors).toEqual([
    { pointer: '/Lab-Fault', detail: `must be one of ${listed.join(', ')} here` },
  ]);
});

test('covers every status except those that need an error of ours or of the database', () => {
  const unseen = answers.unseen().filter((each) => !/ 50[03]$/.test(each));
  expect(unseen).toEqual([
    // A refund that the processor refuses or does not answer: see test/refunds.
    'POST /charges/{id}/refunds 402',
    'POST /charges/{id}/refunds 504',
    // A refund made at the processor that may be a pending one of ours: see
    // test/webhooks/incoming/refunds/changed-at-processor.spec.ts.
    'POST /webhooks/processor 409',
  ]);
});
