import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { RateLimits } from '../../../src/accounts/rate-limits.js';
import { expectMatchesOpenApi } from '../../support/openapi.js';
import { startService, type Service } from '../../support/service.js';
import { until } from '../../support/until.js';

describe('the limits of accounts', () => {
  test('allow a burst, then refuse, and say how long to wait', () => {
    const limits = new RateLimits({ perSecond: 1, burst: 3 });
    expect([1, 2, 3].map(() => limits.take('a').remaining)).toEqual([2, 1, 0]);
    expect(limits.take('a')).toEqual({ allowed: false, remaining: 0, windowSeconds: 1 });
  });

  test('are separate for each account', () => {
    const limits = new RateLimits({ perSecond: 1, burst: 1 });
    limits.take('a');
    expect(limits.take('a').allowed).toBe(false);
    expect(limits.take('b').allowed).toBe(true);
  });

  test('never announce more than the rate', () => {
    const { remaining, windowSeconds } = new RateLimits({ perSecond: 10, burst: 200 }).take('a');
    expect(remaining / windowSeconds).toBeLessThanOrEqual(10);
  });

  test('allow as many requests as tokens were added', async () => {
    const limits = new RateLimits({ perSecond: 100, burst: 1 });
    limits.take('a');
    await until(async () => limits.take('a').allowed);
  });

  test('forget an account that has been idle until it has its full burst again', async () => {
    const limits = new RateLimits({ perSecond: 1000, burst: 1 });
    for (let account = 0; account < 1000; account++) limits.take(`idle_${account}`);
    await until(async () => {
      limits.take('busy');
      return limits.size === 1;
    });
  });
});

describe('over the limit', () => {
  let service: Service;
  beforeAll(async () => {
    // So slow that no token is added during the test.
    service = await startService({ env: { RATE_LIMIT_PER_SECOND: '1', RATE_LIMIT_BURST: '600' } });
  });
  afterAll(async () => {
    await service.stop();
  });

  async function get(path: string, apiKey = 'sk_test_acme', init: RequestInit = {}) {
    const headers = { authorization: `Bearer ${apiKey}`, ...init.headers };
    const response = await fetch(service.apiUrl + path, { ...init, headers });
    const answer = {
      status: response.status,
      headers: response.headers,
      text: await response.text(),
    };
    expectMatchesOpenApi(init.method ?? 'GET', path, answer);
    return { ...answer, body: JSON.parse(answer.text) as Record<string, unknown> };
  }

  /** Spends the account's remaining tokens, a hundred at a time. */
  async function exhaust(apiKey: string) {
    for (;;) {
      const answers = await Promise.all(Array.from({ length: 100 }, () => get('/charges', apiKey)));
      const refused = answers.find(({ status }) => status === 429);
      if (refused) return refused;
    }
  }

  const charge = (key: string): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ amount: 1200, currency: 'eur', payment_method: 'pm_card_visa' }),
  });

  /** Sends charges during a flood until one is refused. */
  async function keyRefusedWith429(nextKey: () => string): Promise<string> {
    for (;;) {
      const key = nextKey();
      const flood = Array.from({ length: 50 }, () => get('/charges', 'sk_test_globex'));
      const [answer] = await Promise.all([
        get('/charges', 'sk_test_globex', charge(key)),
        ...flood,
      ]);
      if (answer.status === 429) return key;
    }
  }

  async function untilLetThrough(key: string) {
    let answer = await get('/charges', 'sk_test_globex', charge(key));
    await until(async () => {
      if (answer.status === 429) answer = await get('/charges', 'sk_test_globex', charge(key));
      return answer.status === 201;
    });
    return answer;
  }

  test('is announced on every authenticated answer, including errors, and on no other', async () => {
    const first = await get('/charges');
    expect(first.headers.get('RateLimit-Policy')).toBe('"account";q=600;w=600');
    expect(first.headers.get('RateLimit')).toBe('"account";r=599;t=599');
    const missing = await get('/charges/ch_0');
    expect(missing.status).toBe(404);
    expect(missing.headers.get('RateLimit')).toMatch(/^"account";r=59[89];t=59[89]$/);
    expect((await get('/charges', 'sk_test_wrong')).headers.get('RateLimit')).toBeNull();
    expect((await get('/health/live')).headers.get('RateLimit')).toBeNull();
  });

  test('answers 429, with and without a key, and leaves the key unchanged', async () => {
    const used = randomUUID();
    const made = await get('/charges', 'sk_test_globex', charge(used));
    expect(made.status).toBe(201);
    const refused = await exhaust('sk_test_globex');
    expect(refused.body).toMatchObject({ code: 'rate_limited', retry: 'same_key', status: 429 });
    expect(refused.headers.get('Retry-After')).toBe('1');

    const fresh = await keyRefusedWith429(() => randomUUID());
    const first = await untilLetThrough(fresh);
    expect(first.headers.get('Idempotent-Replayed')).toBeNull();
    // A replay counts as a request.
    await keyRefusedWith429(() => used);
    const replay = await untilLetThrough(used);
    expect(replay.headers.get('Idempotent-Replayed')).toBe('true');
    expect(replay.text).toBe(made.text);
  });

  test('affects only one account', async () => {
    await exhaust('sk_test_globex');
    expect((await get('/charges', 'sk_test_acme')).status).toBe(200);
  });
});
