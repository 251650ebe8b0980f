import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createContext, runInContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { paymentsAtProcessor } from '../support/books.js';
import { loadRecipe, page } from '../support/recipes.js';
import { startStack, type Stack } from '../support/stack.js';

const apiKey = 'sk_test_acme';
const script = await readFile('docs/checkout.js', 'utf8');
const html = await readFile('docs/checkout.html', 'utf8');

let stack: Stack;
let shop: Server;
let shopUrl: string;
beforeAll(async () => {
  stack = await startStack();
  const { merchant } = await loadRecipe<{
    merchant: (settings: { api: string; apiKey: string }) => Server;
  }>('merchant');
  shop = merchant({ api: stack.apiUrl, apiKey });
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve));
  shopUrl = `http://127.0.0.1:${(shop.address() as AddressInfo).port}`;
});
afterAll(async () => {
  shop.close();
  await stack.stop();
});

async function newOrder(): Promise<string> {
  const id = `order_${randomUUID()}`;
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

async function paymentsFor(order: string): Promise<number> {
  const payments = await paymentsAtProcessor(stack.sandboxUrl);
  return payments.filter(({ metadata }) => metadata.order === order).length;
}

describe('the checkout page', () => {
  /** What becomes of the answer to a tab's request number `nr`, counted from 0. */
  type Road = (nr: number) => Promise<void>;
  const losing: Road = () => Promise.reject(new TypeError('network error'));

  /** A browser's tab, as far as the script needs one. `load` is a visit or a reload. */
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
            const nr = sent.push((JSON.parse(init.body as string) as { key: string }).key) - 1;
            const answer = await fetch(shopUrl + path, init);
            await road(nr);
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
    const order = await newOrder();
    const browser = tab(order);
    expect(browser.load()).toHaveProperty('pay');
    expect(browser.kept.size).toBe(1); // made at load, before anything is sent
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

  test('keeps the key of the next attempt when a decline of the last one comes late', async () => {
    const browser = tab(await newOrder());
    const resolvers: (() => void)[] = [];
    const arrivals = [0, 1, 2, 3].map(
      (nr) => new Promise<void>((resolve) => (resolvers[nr] = resolve)),
    );
    const arrive = (nr: number) => resolvers[nr]!();
    const loaded = browser.load((nr) => arrivals[nr]!);
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
    expect(await later).toBe('Paid. Thank you.'); // and not that the card was declined
    const [ended, current] = new Set(browser.sent);
    expect(browser.sent).toEqual([ended, ended, ended, current]);
    expect([...browser.kept.values()]).toEqual([current]);
  });

  test('in a second tab is told that the order is paid', async () => {
    const order = await newOrder();
    await tab(order).load().pay();
    expect(await tab(order).load().pay()).toBe('This order is paid already.');
  });
});
