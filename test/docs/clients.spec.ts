import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createContext, runInContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { paymentsAtProcessor } from '../support/ledger.js';
import { lossyProxy } from '../support/lossy-proxy.js';
import { blocks, loadRecipe, page, recipe, recipes, type ChargeOnce } from '../support/recipes.js';
import { startStack, type Stack } from '../support/stack.js';
import { until } from '../support/until.js';

const apiKey = 'sk_test_acme';
const CARD = { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' };

let stack: Stack;
let proxy: Awaited<ReturnType<typeof lossyProxy>>;
let chargeOnce: ChargeOnce;
beforeAll(async () => {
  stack = await startStack();
  proxy = await lossyProxy(stack.apiUrl);
  ({ chargeOnce } = await loadRecipe<{ chargeOnce: ChargeOnce }>('charge-once'));
});
afterAll(async () => {
  await proxy.close();
  await stack.stop();
});

const payments = () => paymentsAtProcessor(stack.sandboxUrl);
async function paidFor(charge: string): Promise<number> {
  return (await payments()).filter(({ metadata }) => metadata.charge === charge).length;
}

async function putOrder(id: string): Promise<string> {
  await fetch(`${stack.apiUrl}/orders/${id}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      currency: 'usd',
      items: [{ sku: 'mug', quantity: 1, unit_amount: 1999 }],
    }),
  });
  return id;
}

test('every block of docs/clients.md has a name, and a test below', async () => {
  expect(recipes.size).toBe(blocks);
  const tests = await readFile('test/docs/clients.spec.ts', 'utf8');
  expect([...recipes.keys()].filter((name) => !tests.includes(`'${name}'`))).toEqual([]);
});

describe('curl', () => {
  async function curl(name: string) {
    const { host } = new URL(stack.apiUrl);
    const run = spawn('bash', ['-c', recipe(name).replaceAll('127.0.0.1:3000', host)]);
    const [printed, complaints, [code]] = await Promise.all([
      text(run.stdout),
      text(run.stderr),
      once(run, 'exit') as Promise<[number | null]>,
    ]);
    return { printed, complaints, code };
  }

  test('with a key repeats until it has the answer, and takes the money once', async () => {
    const { printed, complaints, code } = await curl('curl-with-a-key');
    expect({ code, complaints }).toMatchObject({ code: 0 });
    expect(complaints).toContain('timed out'); // or the test would prove nothing
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
  /** Notes the pauses and takes none. */
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

  test('waits for as long as Retry-After says, and a random while that may double each time', async () => {
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

  test('says that the outcome is unknown when its patience ends; the same key finds it later', async () => {
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

describe('the checkout page', () => {
  let shop: Server;
  let shopUrl: string;
  let script: string;
  let html: string;
  beforeAll(async () => {
    const { merchant } = await loadRecipe<{
      merchant: (settings: { api: string; apiKey: string }) => Server;
    }>('merchant');
    shop = merchant({ api: proxy.url, apiKey });
    await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve));
    shopUrl = `http://127.0.0.1:${(shop.address() as AddressInfo).port}`;
    script = await readFile('docs/checkout.js', 'utf8');
    html = await readFile('docs/checkout.html', 'utf8');
  });
  afterAll(() => void shop.close());

  /** A browser's tab, as far as the script needs one. `load` is a visit or a reload. */
  function tab(order: string) {
    const kept = new Map<string, string>();
    const sessionStorage = {
      getItem: (name: string) => kept.get(name) ?? null,
      setItem: (name: string, value: string) => void kept.set(name, value),
      removeItem: (name: string) => void kept.delete(name),
    };
    const sent: string[] = [];
    function load({ loseAnswers = false } = {}) {
      let submit: (event: object) => Promise<void> = async () => {};
      const result = { textContent: '' };
      const form = {
        dataset: { order },
        addEventListener: (_name: string, listener: typeof submit) => (submit = listener),
      };
      let card = 'pm_card_visa';
      runInContext(
        script,
        createContext({
          document: { querySelector: (id: string) => (id === '#checkout' ? form : result) },
          sessionStorage,
          crypto: globalThis.crypto,
          FormData: class {
            *[Symbol.iterator]() {
              yield ['payment_method', card];
            }
          },
          fetch: async (path: string, init: RequestInit) => {
            sent.push((JSON.parse(init.body as string) as { key: string }).key);
            const answer = await fetch(shopUrl + path, init);
            if (loseAnswers) throw new TypeError('network error');
            return answer;
          },
        }),
      );
      return {
        async pay(method = 'pm_card_visa') {
          card = method;
          await submit({ preventDefault: () => {} });
          return result.textContent;
        },
      };
    }
    return { load, sent, kept };
  }

  test('loads the script, which is no other than the one that is tested', () => {
    expect(html).toContain('<script type="module" src="checkout.js"></script>');
    expect(html).toContain('id="checkout" data-order="');
    expect(html).toContain('id="result"');
    expect(page).toContain('[checkout.js](checkout.js)');
  });

  test('keeps its key through a lost answer and a reload, and the customer pays once', async () => {
    const order = await putOrder(`order_${randomUUID()}`);
    const browser = tab(order);
    expect(browser.load()).toHaveProperty('pay');
    expect(browser.kept.size).toBe(1); // made at load, before anything is sent
    expect(await browser.load({ loseAnswers: true }).pay()).toContain('not be charged twice');
    expect(await browser.load().pay()).toBe('Paid. Thank you.');
    expect(new Set(browser.sent).size).toBe(1);
    const paid = (await payments()).filter(({ metadata }) => metadata.order === order);
    expect(paid).toHaveLength(1);
  });

  test('sends one key for two clicks', async () => {
    const order = await putOrder(`order_${randomUUID()}`);
    const browser = tab(order);
    const loaded = browser.load();
    expect(await Promise.all([loaded.pay(), loaded.pay()])).toEqual(
      Array(2).fill('Paid. Thank you.'),
    );
    expect(new Set(browser.sent).size).toBe(1);
    expect((await payments()).filter(({ metadata }) => metadata.order === order)).toHaveLength(1);
  });

  test('makes a new key after a decline', async () => {
    const browser = tab(await putOrder(`order_${randomUUID()}`));
    const loaded = browser.load();
    expect(await loaded.pay('pm_card_visa_chargeDeclined')).toContain('declined');
    expect(await loaded.pay()).toBe('Paid. Thank you.');
    expect(new Set(browser.sent).size).toBe(2);
  });

  test('in a second tab is told that the order is paid', async () => {
    const order = await putOrder(`order_${randomUUID()}`);
    await tab(order).load().pay();
    expect(await tab(order).load().pay()).toBe('This order is paid already.');
  });
});

describe('the queue worker', () => {
  interface Purchase {
    id: string;
    attempt: number;
    payment: object;
    charge?: string;
  }
  type Work = (
    job: { purchase: string },
    settings: { api: string; apiKey: string; purchases: object },
  ) => Promise<void>;
  let work: Work;
  beforeAll(async () => {
    ({ work } = await loadRecipe<{ work: Work }>('queue-worker'));
  });

  function table(purchase: Purchase, { crashOnce = false } = {}) {
    let crash = crashOnce;
    return {
      find: async () => purchase,
      markPaid: async (_id: string, charge: string) => {
        if (crash) {
          crash = false;
          throw new Error('the worker dies before it has written');
        }
        purchase.charge = charge;
      },
      nextAttempt: async (_id: string, ended: number) => {
        if (purchase.attempt === ended) purchase.attempt += 1;
      },
    };
  }

  test('charges once although the job is delivered three times', async () => {
    const purchase: Purchase = { id: `order_${randomUUID()}`, attempt: 1, payment: CARD };
    const purchases = table(purchase, { crashOnce: true });
    const before = (await payments()).length;
    const deliver = () => work({ purchase: purchase.id }, { api: proxy.url, apiKey, purchases });
    await expect(deliver()).rejects.toThrow('dies before it has written');
    await deliver();
    await deliver();
    expect((await payments()).length).toBe(before + 1);
    expect(await paidFor(purchase.charge ?? '')).toBe(1);
    expect(proxy.keys.slice(-2)).toEqual(Array(2).fill(`${purchase.id}_charge_attempt_1`));
  });

  test('moves to the next attempt after a decline, and not twice for two deliveries', async () => {
    const declined = { ...CARD, payment_method: 'pm_card_visa_chargeDeclined' };
    const purchase: Purchase = { id: `order_${randomUUID()}`, attempt: 1, payment: declined };
    const settings = { api: proxy.url, apiKey, purchases: table(purchase) };
    const jobs = [
      work({ purchase: purchase.id }, settings),
      work({ purchase: purchase.id }, settings),
    ];
    await Promise.all(jobs);
    expect(purchase.attempt).toBe(2);
    purchase.payment = CARD;
    await work({ purchase: purchase.id }, settings);
    expect(proxy.keys.at(-1)).toBe(`${purchase.id}_charge_attempt_2`);
    expect(await paidFor(purchase.charge ?? '')).toBe(1);
  });
});
