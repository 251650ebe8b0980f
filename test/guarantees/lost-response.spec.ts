import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, ledger, paymentsOf } from '../support/books.js';
import { charge, getCharge, lookUp, send } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';

/** The promise behind the project's name: the answer is lost, the client retries, the customer pays once. */
describe('a lost response', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => expectCleanBooks(service));
  afterAll(() => service.stop());
  const lose = (what: string) => ({ headers: { 'lab-fault': what } });

  test('charges once, and the retry gets the stored answer', async () => {
    const { apiUrl, sandboxUrl } = service;
    await expect(charge(apiUrl, 'lost', {}, lose('lose-response'))).rejects.toThrow(/hang up/);
    const retry = await charge(apiUrl, 'lost');
    const again = await charge(apiUrl, 'lost');

    expect(retry).toMatchObject({ status: 201, body: { status: 'succeeded', amount: 1200 } });
    expect(retry.headers['idempotent-replayed']).toBe('true');
    expect(again.text).toBe(retry.text);
    expect(await paymentsOf(sandboxUrl, retry.body.id)).toHaveLength(1);
  });

  test('can be lost many times', async () => {
    const { apiUrl, sandboxUrl } = service;
    for (let i = 0; i < 5; i++) {
      await expect(charge(apiUrl, 'often', {}, lose('lose-response'))).rejects.toThrow();
    }
    const retry = await charge(apiUrl, 'often');
    expect(retry.status).toBe(201);
    expect(await paymentsOf(sandboxUrl, retry.body.id)).toHaveLength(1);
  });

  test('of a decline does not try the card again', async () => {
    const { apiUrl, sandboxUrl } = service;
    const declined = { payment_method: 'pm_card_visa_chargeDeclined' };
    await expect(charge(apiUrl, 'no', declined, lose('lose-response'))).rejects.toThrow();
    const retry = await charge(apiUrl, 'no', declined);
    expect(retry).toMatchObject({ status: 402, body: { code: 'card_declined' } });
    const tried = (await ledger(sandboxUrl)).filter(
      ({ metadata }) => metadata.charge === retry.body.charge,
    );
    expect(tried).toHaveLength(1);
  });

  test('charges twice without the engine (control, counted in the processor’s ledger)', async () => {
    const { apiUrl, sandboxUrl } = service;
    const naively = (fault: Record<string, string>) =>
      send(`${apiUrl}/lab/naive/charges`, {
        headers: { ...fault, 'idempotency-key': 'naive' },
        body: { amount: 777, currency: 'eur', payment_method: 'pm_card_visa' },
      });
    await expect(naively({ 'lab-fault': 'lose-response' })).rejects.toThrow();
    expect((await naively({})).status).toBe(201);

    const paid = (await ledger(sandboxUrl)).filter(({ amount }) => amount === 777);
    expect(paid.map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
  });
});

describe('a lost request', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => expectCleanBooks(service));
  afterAll(() => service.stop());

  test('has no effect, and the retry is the first request', async () => {
    const { apiUrl, sandboxUrl } = service;
    const lost = charge(apiUrl, 'lost request', {}, { headers: { 'lab-fault': 'lose-request' } });
    await expect(lost).rejects.toThrow();
    expect((await lookUp(apiUrl, 'lost request')).status).toBe(404);
    expect(await ledger(sandboxUrl)).toEqual([]);

    const retry = await charge(apiUrl, 'lost request');
    expect(retry.status).toBe(201);
    expect(retry.headers).not.toHaveProperty('idempotent-replayed');
    expect(await paymentsOf(sandboxUrl, retry.body.id)).toHaveLength(1);
    expect((await getCharge(apiUrl, retry.body.id)).text).toBe(retry.text);
  });
});
