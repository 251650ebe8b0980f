import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { KEY_MISUSES } from '../../../src/charges/key-misuse.js';
import { paymentsAtProcessor } from '../../support/books.js';
import { expectMatchesOpenApi } from '../../support/openapi.js';
import { startService, type Service } from '../../support/service.js';

const CARD = { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' };

let service: Service;
beforeAll(async () => {
  service = await startService({ env: { PROCESSOR_TIMEOUT_MS: '5000' } });
});
afterAll(async () => {
  await service.stop();
});

async function send(method: string, path: string, body: object, headers: Record<string, string>) {
  const response = await fetch(service.apiUrl + path, {
    method,
    headers: {
      authorization: 'Bearer sk_test_acme',
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(body),
  });
  const answer = {
    status: response.status,
    headers: response.headers,
    text: await response.text(),
  };
  expectMatchesOpenApi(method, path, answer);
  return { ...answer, body: JSON.parse(answer.text) as Record<string, string | string[]> };
}

const charge = (key: string, body: object = CARD) =>
  send('POST', '/charges', body, { 'idempotency-key': key });
/** The charge is made, and its answer is lost. */
async function chargeAndLoseTheAnswer(key: string, body: object = CARD): Promise<void> {
  const lost = send('POST', '/charges', body, {
    'idempotency-key': key,
    'lab-fault': 'lose-response',
  });
  await expect(lost).rejects.toThrow();
}
const payments = async () => (await paymentsAtProcessor(service.sandboxUrl)).length;
async function newOrder(): Promise<string> {
  const id = `order_${randomUUID()}`;
  const items = [{ sku: 'mug', quantity: 1, unit_amount: 1999 }];
  await send('PUT', `/orders/${id}`, { currency: 'usd', items }, {});
  return id;
}

/** One test for each row, with its name. */
const proofs: Record<string, () => Promise<void>> = {
  async 'A new key for each retry'() {
    const before = await payments();
    await chargeAndLoseTheAnswer(randomUUID());
    expect((await charge(randomUUID())).status).toBe(201);
    expect(await payments()).toBe(before + 2);

    const order = { order: await newOrder(), payment_method: 'pm_card_visa' };
    await chargeAndLoseTheAnswer(randomUUID(), order);
    expect((await charge(randomUUID(), order)).body.code).toBe('order_already_paid');
    expect(await payments()).toBe(before + 3);
  },

  async 'A key from a clock'() {
    const before = await payments();
    const now = Date.now();
    const keyAt = (ms: number) => `charge-${new Date(ms).toISOString()}`;
    await chargeAndLoseTheAnswer(keyAt(now));
    await charge(keyAt(now + 1));
    expect(await payments()).toBe(before + 2);
    expect((await charge(keyAt(now), { ...CARD, amount: 5 })).status).toBe(422);
    expect((await charge(keyAt(now))).headers.get('Idempotent-Replayed')).toBe('true');
    expect(await payments()).toBe(before + 2);
  },

  async 'A key from a price or from the contents of the cart'() {
    const before = await payments();
    const key = `mug-1999-${randomUUID()}`; // anything that both carts have in common
    const first = await charge(key);
    const second = await charge(key);
    expect(second.headers.get('Idempotent-Replayed')).toBe('true');
    expect(second.text).toBe(first.text);
    expect(await payments()).toBe(before + 1);
  },

  async 'A key from a delivery counter of a queue'() {
    const before = await payments();
    const purchase = randomUUID();
    for (const delivery of [1, 2, 3]) await charge(`${purchase}_delivery_${delivery}`);
    expect(await payments()).toBe(before + 3);
    for (let delivery = 1; delivery <= 3; delivery++) await charge(`${purchase}_charge_attempt_1`);
    expect(await payments()).toBe(before + 4);
  },

  async 'One key for two purchases'() {
    const before = await payments();
    const key = randomUUID();
    await charge(key);
    const other = await charge(key, { ...CARD, amount: 2999 });
    expect(other.body).toMatchObject({
      code: 'idempotency_key_reused',
      retry: 'no',
      mismatched: ['/amount'],
    });
    expect((await charge(key)).headers.get('Idempotent-Replayed')).toBe('true');
    expect(await payments()).toBe(before + 1);
  },

  async 'The key kept after a decline'() {
    const before = await payments();
    const key = randomUUID();
    const declining = { ...CARD, payment_method: 'pm_card_visa_chargeDeclinedInsufficientFunds' };
    const declined = await charge(key, declining);
    expect(declined.body).toMatchObject({ code: 'card_declined', retry: 'new_key' });
    const again = await charge(key, declining);
    expect(again.text).toBe(declined.text);
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect((await charge(key)).body).toMatchObject({
      code: 'idempotency_key_reused',
      mismatched: ['/payment_method'],
    });
    expect(await payments()).toBe(before);
    expect((await charge(randomUUID())).status).toBe(201);
  },

  async 'A new key after a 503, a 504 or a broken connection'() {
    const before = await payments();
    const slow = { ...CARD, payment_method: 'pm_lab_timeout' };
    expect((await charge(randomUUID(), slow)).body).toMatchObject({
      code: 'processor_outcome_unknown',
      retry: 'same_key',
    });
    await charge(randomUUID());
    expect(await payments()).toBe(before + 2);

    const order = await newOrder();
    await charge(randomUUID(), { order, payment_method: 'pm_lab_timeout' });
    const other = await charge(randomUUID(), { order, payment_method: 'pm_card_visa' });
    // The first payment is still being looked up, or was found meanwhile.
    expect(['payment_pending', 'order_already_paid']).toContain(other.body.code);
    expect(await payments()).toBe(before + 3);
  },
};

describe('what happens when a key is used wrongly', () => {
  test.each(KEY_MISUSES.map(({ mistake }) => mistake))('%s', async (mistake) => {
    await proofs[mistake]?.();
    expect(Object.keys(proofs)).toContain(mistake);
  });

  test('is on the problem pages and in docs/clients.md, word for word', async () => {
    const response = await fetch(`${service.apiUrl}/problems`);
    const html = (await response.text()).replaceAll(/<\/?code>/g, '`');
    const clients = await readFile('docs/clients.md', 'utf8');
    for (const { mistake, happens, instead } of KEY_MISUSES) {
      expect(clients).toContain(`| ${mistake} | ${happens} | ${instead} |`);
      for (const cell of [mistake, happens, instead]) expect(html).toContain(`<td>${cell}</td>`);
    }
  });
});
