import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, ledger } from '../support/books.js';
import { charge, lookUp, send, type Send } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

describe('a request that is refused before a write leaves the key unused', () => {
  const raw = (body: string, headers = {}): Send => ({ body, headers });
  test.each<[string, number, string, Record<string, unknown>, Send]>([
    ['an amount of zero', 400, 'validation_failed', { amount: 0 }, {}],
    ['a missing member', 400, 'validation_failed', { currency: undefined }, {}],
    ['an unknown member', 400, 'validation_failed', { amout: 1200 }, {}],
    ['null', 400, 'validation_failed', { description: null }, {}],
    ['malformed JSON', 400, 'malformed_json', {}, raw('{"amount":1200,')],
    ['no object', 400, 'malformed_json', {}, raw('[]')],
    [
      'another content type',
      415,
      'unsupported_media_type',
      {},
      raw('amount=1200', { 'content-type': 'application/x-www-form-urlencoded' }),
    ],
    ['a body too large', 413, 'payload_too_large', {}, raw(`{"a":"${'x'.repeat(70_000)}"}`)],
    ['no API key', 401, 'unauthorized', {}, { apiKey: null }],
    ['an unknown API key', 401, 'unauthorized', {}, { apiKey: 'sk_test_nobody' }],
    ['an order that does not exist', 404, 'not_found', { order: 'nowhere' }, {}],
  ])('%s', async (what, status, code, changes, options) => {
    const { apiUrl, sandboxUrl } = service;
    const refused = await charge(apiUrl, what, changes, options);
    expect(refused).toMatchObject({ status, body: { code, retry: 'after_fix' } });
    expect(refused.headers).not.toHaveProperty('idempotency-expires');
    expect((await lookUp(apiUrl, what)).status).toBe(404);
    const paid = (await ledger(sandboxUrl)).length;

    const corrected = await charge(apiUrl, what);
    expect(corrected).toMatchObject({ status: 201, body: { status: 'succeeded' } });
    expect(corrected.headers).not.toHaveProperty('idempotent-replayed');
    expect(await ledger(sandboxUrl)).toHaveLength(paid + 1);
  });

  test('a used key answers before the body is validated', async () => {
    const { apiUrl } = service;
    await charge(apiUrl, 'used before');
    const wrong = await charge(apiUrl, 'used before', { amount: -1 });
    expect(wrong).toMatchObject({ status: 422, body: { mismatched: ['/amount'] } });
  });
});

describe('GET /idempotency-keys/{key}', () => {
  test('is 404 before, then in progress, then completed', async () => {
    const { apiUrl, gate } = service;
    const unused = await lookUp(apiUrl, 'story');
    expect(unused).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect(unused.body.detail).toContain('never with a new key');

    const open = gate.close();
    const first = charge(apiUrl, 'story');
    await gate.held(1);
    const running = await lookUp(apiUrl, 'story');
    open();
    const { id } = (await first).body;
    const resource = { object: 'charge', id, url: `/charges/${id}` };
    expect(running.body).toEqual({
      key: 'story',
      operation: 'POST /charges',
      state: 'in_progress',
      status: null,
      resource,
      attempts: 1,
      needs_attention: false,
      first_seen_at: expect.stringMatching(/^\d{4}-.*Z$/),
      completed_at: null,
      expires_at: null,
    });

    await charge(apiUrl, 'story'); // a replay counts no attempt
    const completed = await lookUp(apiUrl, 'story');
    expect(completed.body).toEqual({
      ...running.body,
      state: 'completed',
      status: 201,
      completed_at: expect.stringMatching(/^\d{4}-.*Z$/),
      expires_at: (await first).headers['idempotency-expires'],
    });
  });

  test.each([
    'with spaces in it',
    'a/b/../c',
    '100%25',
    '%2e%2e',
    '?query#fragment',
    '+&=;:@$!*()[]{}|^`~<>',
    '__proto__',
    "o'clock; DROP TABLE charges",
    'x'.repeat(255),
  ])('finds the key %j', async (key) => {
    const { apiUrl } = service;
    const made = await charge(apiUrl, key);
    expect(made.status).toBe(201);
    expect(made.headers['idempotency-key']).toBe(key);
    const found = await lookUp(apiUrl, key);
    expect(found).toMatchObject({
      status: 200,
      body: { key, state: 'completed', resource: { id: made.body.id } },
    });
  });

  test('finds a key with quotes and a comma, which needs the quoted form', async () => {
    const { apiUrl } = service;
    const made = await charge(apiUrl, String.raw`"say \"a, b\""`);
    expect(made.status).toBe(201);
    expect((await lookUp(apiUrl, 'say "a, b"')).body.resource).toMatchObject({ id: made.body.id });
  });

  test.each([
    ['one character too long', 'x'.repeat(256)],
    ['not ASCII', 'schlüssel'],
    ['a control character', 'a\nb'],
    ['NUL', 'a\0b'],
  ])('is 404 for an invalid key: %s', async (_what, key) => {
    const reply = await lookUp(service.apiUrl, key);
    expect(reply).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });

  test('is 404 for a path that cannot be decoded', async () => {
    const reply = await send(`${service.apiUrl}/idempotency-keys/%E0%A4%A`);
    expect(reply).toMatchObject({ status: 404, body: { code: 'not_found' } });
  });
});
