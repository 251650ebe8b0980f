import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApp, type TestApp } from '../support/app.js';
import { call, CHARGE, expectProblem, post, type Call, type Reply } from '../support/client.js';
import { head, sendRaw } from '../support/raw-http.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

const TOO_LARGE = ' '.repeat(64 * 1024 + 1);
const UNKNOWN = 'sk_test_nobody';
const text = { 'content-type': 'text/plain' };

describe('of several errors, the first in the table is the answer', () => {
  type Problem = [status: number, code: string, retry: string];
  const NO_ROUTE: Problem = [404, 'not_found', 'no'];
  const NO_METHOD: Problem = [405, 'method_not_allowed', 'no'];
  const UNAUTHORIZED: Problem = [401, 'unauthorized', 'after_fix'];
  const OVERSIZED: Problem = [413, 'payload_too_large', 'after_fix'];
  const WRONG_TYPE: Problem = [415, 'unsupported_media_type', 'after_fix'];
  const MALFORMED: Problem = [400, 'malformed_json', 'after_fix'];
  const NO_KEY: Problem = [400, 'idempotency_key_missing', 'after_fix'];
  const BAD_KEY: Problem = [400, 'idempotency_key_invalid', 'after_fix'];
  const INVALID: Problem = [400, 'validation_failed', 'after_fix'];
  const NO_OBJECT: Problem = [404, 'not_found', 'after_fix'];

  const bad = { amount: 0, nonsense: true };
  const noOrder = { ...CHARGE, order: 'none' };
  const rows: [string, Problem, string, Call][] = [
    [
      'an unknown route before a missing API key',
      NO_ROUTE,
      'POST /nowhere',
      { apiKey: null, body: TOO_LARGE },
    ],
    [
      'a wrong method before a missing API key',
      NO_METHOD,
      'PATCH /charges',
      { apiKey: null, body: TOO_LARGE },
    ],
    [
      'an unknown API key before the size',
      UNAUTHORIZED,
      'POST /charges',
      { apiKey: UNKNOWN, body: TOO_LARGE, key: null },
    ],
    [
      'an unknown API key before the type',
      UNAUTHORIZED,
      'POST /charges',
      { apiKey: UNKNOWN, body: '{', headers: text, key: null },
    ],
    [
      'an unknown API key before the query',
      UNAUTHORIZED,
      'GET /charges?nonsense=1',
      { apiKey: UNKNOWN },
    ],
    [
      'the size before the type',
      OVERSIZED,
      'POST /charges',
      { body: TOO_LARGE, headers: text, key: null },
    ],
    [
      'the type before the content',
      WRONG_TYPE,
      'POST /charges',
      { body: '{', headers: text, key: null },
    ],
    ['the content before a missing key', MALFORMED, 'POST /charges', { body: '{', key: null }],
    ['the content before an invalid key', MALFORMED, 'POST /charges', { body: '{', key: 'a,b' }],
    [
      'a missing key before validation',
      NO_KEY,
      'POST /charges?nonsense=1',
      { body: bad, key: null },
    ],
    [
      'an invalid key before validation',
      BAD_KEY,
      'POST /charges?nonsense=1',
      { body: bad, key: '"a' },
    ],
    [
      'validation before a missing object',
      INVALID,
      'POST /charges',
      { body: { ...noOrder, amount: 0 } },
    ],
    ['a missing object last', NO_OBJECT, 'POST /charges', { body: noOrder }],
  ];
  it.each(rows)('%s', async (_what, problem, route, options) => {
    const [method, path = ''] = route.split(' ');
    expectProblem(await call(app, path, { method, ...options }), ...problem);
  });

  it('a used key before validation, whether the body, the query or both are wrong', async () => {
    const key = randomUUID();
    expect((await post(app, '/charges', CHARGE, { key })).status).toBe(201);
    for (const [path, body, mismatched] of [
      ['/charges', { ...CHARGE, amount: 0 }, ['/amount']],
      ['/charges', { ...CHARGE, nonsense: 1 }, ['/nonsense']],
      ['/charges?nonsense=1', CHARGE, []],
      ['/charges', noOrder, ['/order']],
    ] as const) {
      const reply = await post(app, path, body, { key });
      expectProblem(reply, 422, 'idempotency_key_reused', 'no');
      expect(reply.body.mismatched).toEqual(mismatched);
    }
  });

  it('a malformed body is reported before a used key', async () => {
    const key = randomUUID();
    await post(app, '/charges', CHARGE, { key });
    expectProblem(await post(app, '/charges', '{', { key }), 400, 'malformed_json', 'after_fix');
  });

  it('refused requests leave their key unused', async () => {
    const key = randomUUID();
    for (const body of [{}, { ...CHARGE, amount: 0 }, noOrder, '{', '[]']) {
      expect((await post(app, '/charges', body, { key })).status).toBeGreaterThanOrEqual(400);
    }
    const made = await post(app, '/charges', CHARGE, { key });
    expect(made.status).toBe(201);
    expect(made.headers.get('Idempotent-Replayed')).toBeNull();
  });
});

describe('405', () => {
  it.each([
    ['/charges', 'PATCH', 'GET, HEAD, POST'],
    ['/charges', 'OPTIONS', 'GET, HEAD, POST'],
    ['/charges/ch_1', 'DELETE', 'GET, HEAD'],
    ['/health/live', 'POST', 'GET, HEAD'],
    ['/health/ready', 'OPTIONS', 'GET, HEAD'],
    ['/problems', 'PUT', 'GET, HEAD'],
    ['/problems/not_found', 'PATCH', 'GET, HEAD'],
    ['/idempotency-keys/a', 'POST', 'GET, HEAD'],
  ])('%s has no %s; Allow lists its methods', async (path, method, allow) => {
    const reply = await call(app, path, { method });
    expectProblem(reply, 405, 'method_not_allowed', 'no');
    expect(reply.headers.get('Allow')).toBe(allow);
  });

  it('HEAD is GET without the body, errors included', async () => {
    const ok = await call(app, '/charges', { method: 'HEAD' });
    expect(ok).toMatchObject({ status: 200, text: '' });
    const missing = await call(app, '/charges/ch_none', { method: 'HEAD' });
    expect(missing).toMatchObject({ status: 404, text: '' });
    expect(missing.headers.get('Content-Type')).toContain('application/problem+json');
  });

  it.each(['TRACE', 'PROPFIND'])('%s is a method like any other', async (method) => {
    const answer = await sendRaw(app.port, head(`${method} /charges`, {}));
    expect(answer).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD, POST' } });
  });
});

describe('paths', () => {
  it('/ answers with links, without an API key, and to HEAD', async () => {
    const reply = await call(app, '/', { apiKey: null });
    expect(reply).toMatchObject({ status: 200, body: { docs: '/docs', problems: '/problems' } });
    for (const path of Object.values(reply.body as Record<string, string>)) {
      expect([path, (await call(app, path, { apiKey: null })).status]).toEqual([path, 200]);
    }
    expect(reply.body).not.toHaveProperty('lab'); // this application has no lab
    expect(reply.body).not.toHaveProperty('ledger');
    const head = await fetch(`${app.url}/`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    expectProblem(await post(app, '/', CHARGE), 405, 'method_not_allowed', 'no');
  });

  it.each([
    '/nowhere',
    '/charges/a/b',
    '/%zz',
    '/charges/%zz',
    '/charges/%ff',
    '/problems/%',
    '/idempotency-keys/%c0%80',
    `/${'x'.repeat(8_000)}`,
    '/lab/ledger',
    '/lab/ledger.txt',
    '/lab/naive/charges',
    '/lab',
  ])('%p is not a route', async (path) => {
    expectProblem(await call(app, path), 404, 'not_found', 'no');
    const posted = await post(app, path, CHARGE);
    expect([404, 405]).toContain(posted.status);
    expect(posted.headers.get('Request-Id')).toBe(posted.body.request_id);
  });

  it.each(['%00', 'ch_a%00b', 'ch_none', '%F0%9F%98%80', 'x'.repeat(8_000)])(
    'no charge has the id %p',
    async (id) => {
      expectProblem(await call(app, `/charges/${id}`), 404, 'not_found', 'after_fix');
    },
  );

  it('another account’s charge gets the same answer as one that does not exist', async () => {
    const made = await post(app, '/charges', CHARGE);
    const strange = await call(app, `/charges/${made.body.id}`, { apiKey: app.globex.apiKey });
    const never = await call(app, `/charges/ch_${'0'.repeat(32)}`, { apiKey: app.globex.apiKey });
    const bytes = ({ text: all, body }: Reply) => all.replace(body.request_id, '');
    expect(bytes(strange)).toBe(bytes(never));
    const names = ({ headers }: Reply) => [...headers.keys()].sort();
    expect(names(strange)).toEqual(names(never));
  });

  it('a query string that cannot be decoded is not a 500', async () => {
    const reply = await call(app, '/charges?status=%zz&%ff=%00');
    expectProblem(reply, 400, 'validation_failed', 'after_fix');
  });
});

describe('query parameters', () => {
  it.each(['/charges/ch_none?expand=1', '/idempotency-keys/a?b', '/health/live?x=1'])(
    '%s is refused, because the route takes none',
    async (path) => {
      expectProblem(await call(app, path), 400, 'validation_failed', 'after_fix');
    },
  );

  it('of a keyed route are refused and leave the key unused', async () => {
    const key = randomUUID();
    const refused = await post(app, '/charges?capture=no&__proto__=1', CHARGE, { key });
    expectProblem(refused, 400, 'validation_failed', 'after_fix');
    expect(refused.body.errors).toEqual([
      { pointer: '/capture', detail: expect.any(String) },
      { pointer: '/__proto__', detail: expect.any(String) },
    ]);
    expect((await post(app, '/charges', CHARGE, { key })).status).toBe(201);
  });
});
