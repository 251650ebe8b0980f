import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { paymentsAtProcessor } from '../support/books.js';
import { lossyProxy } from '../support/lossy-proxy.js';
import { blocks, loadRecipe, recipe, recipes, type ChargeOnce } from '../support/recipes.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';

const apiKey = 'sk_test_acme';
const CARD = { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' };

let service: Service;
let proxy: Awaited<ReturnType<typeof lossyProxy>>;
let chargeOnce: ChargeOnce;
beforeAll(async () => {
  service = await startService({ slowMs: 1_500 }); // longer than curl's timeout of one second
  proxy = await lossyProxy(service.apiUrl);
  ({ chargeOnce } = await loadRecipe<{ chargeOnce: ChargeOnce }>('charge-once'));
});
afterAll(async () => {
  await proxy.close();
  await service.stop();
});

const payments = () => paymentsAtProcessor(service.sandboxUrl);
async function paidFor(charge: string): Promise<number> {
  return (await payments()).filter(({ metadata }) => metadata.charge === charge).length;
}

test('every block of docs/clients.md has a name, and a test', async () => {
  expect(recipes.size).toBe(blocks);
  const files = ['clients', 'checkout', 'other-clients', 'queue-worker', 'phone'].map((name) =>
    readFile(`test/docs/${name}.spec.ts`, 'utf8'),
  );
  const tests = (await Promise.all(files)).join('');
  expect([...recipes.keys()].filter((name) => !tests.includes(`'${name}'`))).toEqual([]);
  expect(recipe('charge-once')).toBe(await readFile('docs/charge-once.mjs', 'utf8'));
});

describe('curl', () => {
  async function curl(name: string) {
    const { host } = new URL(service.apiUrl);
    const run = spawn('bash', ['-c', recipe(name).replaceAll('127.0.0.1:3000', host)]);
    const [printed, complaints, [code]] = await Promise.all([
      text(run.stdout),
      text(run.stderr),
      once(run, 'exit') as Promise<[number | null]>,
    ]);
    return { printed, complaints, code };
  }

  test('with a key retries until it has the answer, and the money is taken once', async () => {
    const { printed, complaints, code } = await curl('curl-with-a-key');
    expect({ code, complaints }).toMatchObject({ code: 0 });
    expect(complaints).toContain('timed out'); // otherwise the test would prove nothing
    const charge = JSON.parse(printed) as { id: string; status: string };
    expect(charge.status).toBe('succeeded');
    expect(await paidFor(charge.id)).toBe(1);
  });

  test('without a key takes the money with every attempt', async () => {
    const before = (await payments()).length;
    await curl('curl-without-a-key');
    await until(async () => (await payments()).length === before + 2);
  });
});

describe('fetch', () => {
  /** Records the pauses without waiting. */
  function noted() {
    const pauses: number[] = [];
    return { pauses, sleep: async (ms: number) => void pauses.push(ms) };
  }

  test('charges once through lost requests, lost responses and a proxy’s page', async () => {
    const key = randomUUID();
    proxy.next('lose-request', 'lose-response', { status: 502, body: '<html>' }, 'lose-response');
    const { sleep, pauses } = noted();
    const { status, body } = await chargeOnce({ api: proxy.url, apiKey, key, body: CARD, sleep });
    expect(status).toBe(201);
    expect(pauses).toHaveLength(4);
    expect(new Set(proxy.keys.slice(-5))).toEqual(new Set([key]));
    expect(await paidFor(body.id ?? '')).toBe(1);
  });

  test('waits for Retry-After plus a random time whose limit doubles with each attempt', async () => {
    const later = {
      status: 503,
      headers: { 'retry-after': '3', 'content-type': 'application/problem+json' },
      body: JSON.stringify({ retry: 'same_key' }),
    };
    proxy.next(later, later, later);
    const { pauses, sleep } = noted();
    await chargeOnce({ api: proxy.url, apiKey, key: randomUUID(), body: CARD, sleep });
    expect(pauses).toHaveLength(3);
    for (const [attempt, ms] of pauses.entries()) {
      expect(ms).toBeGreaterThanOrEqual(3000);
      expect(ms).toBeLessThanOrEqual(3000 + 200 * 2 ** attempt);
    }
  });

  test('obeys `retry`: a decline, a reused key and a bad request are not repeated', async () => {
    const { pauses, sleep } = noted();
    const key = randomUUID();
    const declined = { ...CARD, payment_method: 'pm_card_visa_chargeDeclined' };
    const answers = [
      await chargeOnce({ api: proxy.url, apiKey, key, body: declined, sleep }),
      await chargeOnce({ api: proxy.url, apiKey, key, body: CARD, sleep }),
      await chargeOnce({ api: proxy.url, apiKey, key: randomUUID(), body: {}, sleep }),
    ];
    expect(answers.map(({ status, body }) => [status, body.retry])).toEqual([
      [402, 'new_key'],
      [422, 'no'],
      [400, 'after_fix'],
    ]);
    expect(pauses).toEqual([]);
  });

  test.each([
    ['no key', undefined],
    ['a key that no header can carry', 'a\nb'],
  ])(
    'throws for %s: it is not a lost request, and `undefined` is not a key',
    async (_what, key) => {
      const { pauses, sleep } = noted();
      const before = proxy.keys.length;
      const request = { api: proxy.url, apiKey, key: key as string, body: CARD, sleep };
      await expect(chargeOnce(request)).rejects.toThrow(/has no key|invalid header/);
      expect([pauses, proxy.keys.length]).toEqual([[], before]);
    },
  );

  const busy = JSON.stringify({ message: 'not now' });
  test.each([
    [408, busy],
    [429, busy],
    [502, busy],
    [504, busy],
    [408, 'null'],
    [502, 'null'],
    [200, 'null'],
    [200, '"welcome"'],
    [403, '<html>'],
  ])('repeats with the same key after a proxy’s %i %s', async (status, body) => {
    const key = randomUUID();
    const { pauses, sleep } = noted();
    proxy.next({ status, headers: { 'content-type': 'application/json' }, body });
    const answer = await chargeOnce({ api: proxy.url, apiKey, key, body: CARD, sleep });
    expect([answer.status, pauses.length]).toEqual([201, 1]);
    expect(proxy.keys.slice(-2)).toEqual([key, key]);
    expect(await paidFor(answer.body.id ?? '')).toBe(1);
  });

  test('does not repeat a final refusal of a proxy', async () => {
    const { pauses, sleep } = noted();
    proxy.next({ status: 403, body: JSON.stringify({ message: 'not you' }) });
    const answer = await chargeOnce({
      api: proxy.url,
      apiKey,
      key: randomUUID(),
      body: CARD,
      sleep,
    });
    expect([answer.status, pauses]).toEqual([403, []]);
  });

  test('reports an unknown outcome after its last attempt; the same key finds it later', async () => {
    const key = randomUUID();
    const before = (await payments()).length;
    const request = { api: proxy.url, apiKey, key, body: CARD, attempts: 2, sleep: noted().sleep };
    proxy.next('lose-response', 'lose-response');
    await expect(chargeOnce(request)).rejects.toThrow(`no outcome yet for ${key}`);
    const { status, body } = await chargeOnce(request);
    expect(status).toBe(201);
    expect(await paidFor(body.id ?? '')).toBe(1);
    expect((await payments()).length).toBe(before + 1);
  });
});
