import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { paymentsAtProcessor, paymentsOf } from '../support/books.js';
import { lossyProxy } from '../support/lossy-proxy.js';
import { send } from '../support/raw-client.js';
import { loadRecipe } from '../support/recipes.js';
import { startService, type Service } from '../support/service.js';
import { newOrder } from './docs.support.js';

// This recipe stores a key where it survives a crash: in a purchase's row.

const apiKey = 'sk_test_acme';
const CARD = { amount: 1999, currency: 'usd', payment_method: 'pm_card_visa' };

let service: Service;
let proxy: Awaited<ReturnType<typeof lossyProxy>>;
beforeAll(async () => {
  service = await startService();
  proxy = await lossyProxy(service.apiUrl);
});
afterAll(async () => {
  await proxy.close();
  await service.stop();
});

const paidFor = async (charge: string) => (await paymentsOf(service.sandboxUrl, charge)).length;

describe('the queue worker', () => {
  interface Purchase {
    id: string;
    attempt: number;
    payment: object;
    charge?: string;
    canceled?: boolean;
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
      cancel: async () => void (purchase.canceled = true),
    };
  }

  async function orderOf() {
    const id = await newOrder(service.apiUrl);
    const payment = { order: id, payment_method: 'pm_card_visa' };
    const purchase: Purchase = { id, attempt: 1, payment };
    const settings = { api: proxy.url, apiKey, purchases: table(purchase) };
    return { purchase, payment, deliver: () => work({ purchase: id }, settings) };
  }

  test('ends the job of an order that another client has paid, with that charge', async () => {
    const { purchase, payment, deliver } = await orderOf();
    const paid = await send(`${service.apiUrl}/charges`, { key: randomUUID(), body: payment });
    await deliver();
    expect(purchase).toMatchObject({ attempt: 1, charge: paid.body.id });
  });

  test('repeats the job until the charge that paid the order has succeeded', async () => {
    const { purchase, deliver } = await orderOf();
    const resource = { object: 'charge', id: 'ch_x', url: '/charges/ch_x' };
    const paid = { code: 'order_already_paid', retry: 'no', detail: 'paid', resource };
    proxy.next(
      { status: 409, body: JSON.stringify(paid) },
      { status: 200, body: JSON.stringify({ id: 'ch_x', status: 'pending' }) },
    );
    await expect(deliver()).rejects.toThrow(`${purchase.id}: paid`);
    expect(purchase).not.toHaveProperty('charge');
  });

  test('ends the job whose key has expired: the charge, or the next attempt after a failed one', async () => {
    const purchase: Purchase = { id: `order_${randomUUID()}`, attempt: 1, payment: CARD };
    const settings = { api: proxy.url, apiKey, purchases: table(purchase) };
    const declined = { ...CARD, payment_method: 'pm_card_visa_chargeDeclined' };
    const key = (attempt: number) => `${purchase.id}_charge_attempt_${attempt}`;
    await send(`${service.apiUrl}/charges`, { key: key(1), body: declined });
    const paid = await send(`${service.apiUrl}/charges`, { key: key(2), body: CARD });
    await service.db.query(
      `UPDATE idempotency_records SET first_seen_at = now() - interval '9 days',
         completed_at = now() - interval '8 days', expires_at = now() - interval '1 day'
       WHERE key = ANY ($1)`,
      [[key(1), key(2)]],
    );
    await work({ purchase: purchase.id }, settings);
    expect(purchase).toEqual({ id: purchase.id, attempt: 2, payment: CARD });
    await work({ purchase: purchase.id }, settings);
    expect(purchase).toMatchObject({ attempt: 2, charge: paid.body.id });
  });

  test('ends the job of a canceled order', async () => {
    const { purchase, deliver } = await orderOf();
    await send(`${service.apiUrl}/orders/${purchase.id}`, { method: 'DELETE' });
    await deliver();
    expect(purchase).toMatchObject({ canceled: true });
    expect(purchase).not.toHaveProperty('charge');
  });

  test('lets the worker’s own errors go to the dead-letter queue', async () => {
    const { purchase, deliver } = await orderOf();
    purchase.payment = { order: purchase.id };
    await expect(deliver()).rejects.toThrow(purchase.id);
    expect(purchase).toEqual({ id: purchase.id, attempt: 1, payment: { order: purchase.id } });
  });

  test('charges once even if the job is delivered three times', async () => {
    const purchase: Purchase = { id: `order_${randomUUID()}`, attempt: 1, payment: CARD };
    const purchases = table(purchase, { crashOnce: true });
    const before = (await paymentsAtProcessor(service.sandboxUrl)).length;
    const deliver = () => work({ purchase: purchase.id }, { api: proxy.url, apiKey, purchases });
    await expect(deliver()).rejects.toThrow('dies before it has written');
    await deliver();
    await deliver();
    expect((await paymentsAtProcessor(service.sandboxUrl)).length).toBe(before + 1);
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
