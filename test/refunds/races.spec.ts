import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { getCharge, send } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { newCharge, newKey, refund, refundFaults, refundsAtProcessor } from './refunds.support.js';

const FIFTY = Array.from({ length: 50 });

let service: Service;
let api: string;
let other: Running;
beforeAll(async () => {
  // Long enough that no duplicate gets 409, and no refund of fifty a 504, because others are slow.
  service = await startService({
    env: { IDEMPOTENCY_WAIT_MS: '30000', PROCESSOR_TIMEOUT_MS: '60000' },
  });
  api = service.apiUrl;
  other = await service.startApi();
});
afterAll(async () => {
  expect(await refundFaults(service.db, service.sandboxUrl)).toEqual([]);
});
afterAll(() => service.stop());

const atProcessor = (id: string) => refundsAtProcessor(service.sandboxUrl, id);

describe('while a refund is at the processor', () => {
  test('its amount is reserved: more than the rest is payment_pending, more than all is refund_exceeds_charge', async () => {
    const id = await newCharge(api);
    const open = service.gate.close();
    const first = refund(api, id, newKey(), { amount: 1000 });
    await service.gate.held(1);
    const { body } = await send(`${api}/charges/${id}/refunds`);
    const [pending] = body.data as [{ id: string; status: string }];
    expect(pending.status).toBe('pending');
    const resource = { object: 'refund', id: pending.id, url: `/refunds/${pending.id}` };
    const [key, restKey] = [newKey(), newKey()];
    for (const blocked of [
      await refund(api, id, key, { amount: 201 }),
      await refund(other.url, id, restKey, {}),
    ]) {
      expect(blocked).toMatchObject({
        status: 409,
        body: { code: 'payment_pending', retry: 'same_key', resource },
      });
      expect(blocked.headers['retry-after']).toBe('1');
    }
    const tooMuch = await refund(api, id, newKey(), { amount: 1201 });
    expect(tooMuch.body.code).toBe('refund_exceeds_charge');
    expect((await getCharge(api, id)).body.amount_refunded).toBe(0); // changes when the refund is settled
    const rest = refund(api, id, newKey(), { amount: 200 });
    await service.gate.held(2);
    open();
    expect([(await first).status, (await rest).status]).toEqual([201, 201]);
    expect((await refund(api, id, key, { amount: 201 })).body.code).toBe('refund_exceeds_charge');
    expect((await refund(api, id, restKey, {})).body.code).toBe('refund_exceeds_charge');
  });
});

describe('fifty concurrent refunds over two instances', () => {
  test.each([
    [25, 48],
    [100, 12],
    [700, 1],
    [1200, 1],
  ])('of %d never exceed the charge', async (amount, fit) => {
    const id = await newCharge(api);
    const replies = await Promise.all(
      FIFTY.map((_, i) => refund(i % 2 ? api : other.url, id, newKey(), { amount })),
    );
    const refused = replies.filter(({ status }) => status !== 201);
    expect(replies.length - refused.length).toBe(fit);
    for (const { status, body } of refused) {
      expect(status).toBe(409);
      expect(['payment_pending', 'refund_exceeds_charge']).toContain(body.code);
    }
    expect((await getCharge(api, id)).body.amount_refunded).toBe(fit * amount);
    const gone = await atProcessor(id);
    expect(gone.map((entry) => entry.amount)).toEqual(Array.from({ length: fit }, () => amount));
  });

  test('with one key are one refund', async () => {
    const id = await newCharge(api);
    const key = newKey();
    const replies = await Promise.all(
      FIFTY.map((_, i) => refund(i % 2 ? api : other.url, id, key, { amount: 10 })),
    );
    expect(new Set(replies.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(await atProcessor(id)).toHaveLength(1);
  });
});
