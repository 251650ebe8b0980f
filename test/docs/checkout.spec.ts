import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createContext, runInContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { paymentsAtProcessor } from '../support/books.js';
import { page, recipe } from '../support/recipes.js';
import { startService, type Service } from '../support/service.js';

const script = await readFile('docs/checkout.js', 'utf8');
const html = await readFile('docs/checkout.html', 'utf8');

let service: Service;
let shop: ChildProcess;
let shopUrl: string;
beforeAll(async () => {
  service = await startService();
  shop = spawn(process.execPath, ['docs/shop.mjs'], {
    env: { PATH: process.env.PATH, PORT: new URL(service.apiUrl).port, SHOP_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [printed] = (await once(shop.stdout!, 'data')) as [Buffer];
  shopUrl = /http:\S+(?=\/)/.exec(printed.toString())![0];
});
afterAll(async () => {
  shop.kill();
  await service.stop();
});

/** Visiting the shop's first page makes an order. */
async function newOrder(): Promise<string> {
  const { status, headers } = await fetch(`${shopUrl}/`, { redirect: 'manual' });
  expect(status).toBe(303);
  return headers.get('location')!.replace('/orders/', '');
}

async function paymentsFor(order: string): Promise<number> {
  const payments = await paymentsAtProcessor(service.sandboxUrl);
  return payments.filter(({ metadata }) => metadata.order === order).length;
}

test('the merchant of the page is the file that the shop runs', async () => {
  expect(recipe('merchant')).toBe(await readFile('docs/merchant.mjs', 'utf8'));
});

describe('npm run shop', () => {
  test('serves the page of one order, the same to a second tab, and its script', async () => {
    const order = await newOrder();
    for (const tab of [1, 2]) {
      const text = await (await fetch(`${shopUrl}/orders/${order}`)).text();
      expect({ tab, text }).toEqual({ tab, text: html.replaceAll('order_8472', order) });
    }
    expect(await (await fetch(`${shopUrl}/orders/checkout.js`)).text()).toBe(script);
    expect(await newOrder()).not.toBe(order);
  });

  const sound = { order: 'order_1', payment_method: 'pm_card_visa', key: 'k' };
  test.each([
    ['no JSON', '{"order":'],
    ['null', 'null'],
    ['a list', '[]'],
    ['no key', JSON.stringify({ ...sound, key: undefined })],
    ['a key that no header can carry', JSON.stringify({ ...sound, key: 'a\nb' })],
    ['no order', JSON.stringify({ ...sound, order: undefined })],
  ])('answers after_fix, not same_key, to a client that sends %s', async (_what, body) => {
    const answer = await fetch(`${shopUrl}/pay`, { method: 'POST', body });
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { retry: 'after_fix', detail: 'Send order, payment_method and key as JSON.' },
    ]);
  });
});

describe('the checkout page', () => {
  /** What happens to the answer of a tab's request number `index`, counted from 0. */
  type Road = (index: number) => Promise<void>;
  const losing: Road = () => Promise.reject(new TypeError('network error'));

  /** As much of a browser tab as the script needs. `load` is a visit or a reload. */
  function tab(order: string) {
    const kept = new Map<string, string>();
    const sessionStorage = {
      getItem: (name: string) => kept.get(name) ?? null,
      setItem: (name: string, value: string) => void kept.set(name, value),
      removeItem: (name: string) => void kept.delete(name),
    };
    const sent: string[] = [];
    function load(road: Road = async () => {}) {
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
            const index = sent.push((JSON.parse(init.body as string) as { key: string }).key) - 1;
            const answer = await fetch(shopUrl + path, init);
            await road(index);
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

  test('loads the script that this file tests', () => {
    expect(html).toContain('<script type="module" src="checkout.js"></script>');
    expect(html).toContain('id="checkout" data-order="');
    expect(html).toContain('id="result"');
    expect(page).toContain('[checkout.js](checkout.js)');
  });

  test('keeps its key through a lost answer and a reload, and the customer pays once', async () => {
    const order = await newOrder();
    const browser = tab(order);
    expect(browser.load()).toHaveProperty('pay');
    expect(browser.kept.size).toBe(1); // made when the page loads, before any request
    expect(await browser.load(losing).pay()).toContain('not be charged twice');
    expect(await browser.load().pay()).toBe('Paid. Thank you.');
    expect(new Set(browser.sent).size).toBe(1);
    expect(await paymentsFor(order)).toBe(1);
  });

  test('sends one key for two clicks', async () => {
    const order = await newOrder();
    const browser = tab(order);
    const loaded = browser.load();
    expect(await Promise.all([loaded.pay(), loaded.pay()])).toEqual(
      Array(2).fill('Paid. Thank you.'),
    );
    expect(new Set(browser.sent).size).toBe(1);
    expect(await paymentsFor(order)).toBe(1);
  });

  test('makes a new key after a decline', async () => {
    const browser = tab(await newOrder());
    const loaded = browser.load();
    expect(await loaded.pay('pm_card_visa_chargeDeclined')).toContain('declined');
    expect(await loaded.pay()).toBe('Paid. Thank you.');
    expect(new Set(browser.sent).size).toBe(2);
  });

  test('keeps the key of the next attempt when the decline of the previous one arrives late', async () => {
    const browser = tab(await newOrder());
    const resolvers: (() => void)[] = [];
    const arrivals = [0, 1, 2, 3].map(
      (index) => new Promise<void>((resolve) => (resolvers[index] = resolve)),
    );
    const arrive = (index: number) => resolvers[index]!();
    const loaded = browser.load((index) => arrivals[index]!);
    const [first, late, later] = [1, 2, 3].map(() => loaded.pay('pm_card_visa_chargeDeclined'));
    arrive(0);
    expect(await first).toContain('declined');

    const next = loaded.pay();
    arrive(1);
    await late;
    expect([...browser.kept.values()]).toEqual([browser.sent[3]]);
    arrive(3);
    expect(await next).toBe('Paid. Thank you.');
    arrive(2);
    expect(await later).toBe('Paid. Thank you.'); // not "the card was declined"
    const [ended, current] = new Set(browser.sent);
    expect(browser.sent).toEqual([ended, ended, ended, current]);
    expect([...browser.kept.values()]).toEqual([current]);
  });

  test('shows in a second tab that the order is paid', async () => {
    const order = await newOrder();
    await tab(order).load().pay();
    expect(await tab(order).load().pay()).toBe('This order is paid already.');
  });
});
