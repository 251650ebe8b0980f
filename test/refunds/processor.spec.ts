import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chargeUntilAnswered, getCharge, lookUp, type Reply } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { newCharge, newKey, refund, refundFaults, refundsAtProcessor } from './refunds.support.js';

let service: Service;
let api: string;
/** An API with a short timeout, for a processor that never answers. */
let impatient: Running;
beforeAll(async () => {
  service = await startService({ slowMs: 300 });
  api = service.apiUrl;
  impatient = await service.startApi({ PROCESSOR_TIMEOUT_MS: '3000' });
});
afterAll(async () => {
  expect(await refundFaults(service.db, service.sandboxUrl)).toEqual([]);
  await service.stop();
});

const gone = async (charge: string) =>
  (await refundsAtProcessor(service.sandboxUrl, charge)).map(({ amount }) => amount);

const apiFor = (method: string) => (method === 'pm_lab_timeout' ? impatient.url : api);

/** A charge by a card whose refunds fail as its payment did. */
async function chargeBy(paymentMethod: string): Promise<string> {
  const body = { payment_method: paymentMethod };
  const reply = await chargeUntilAnswered(apiFor(paymentMethod), newKey('charge'), body);
  expect(reply.status).toBe(201);
  return reply.body.id;
}

describe('a processor that misbehaves on a refund', () => {
  test.each<[string, [status: number, code: string] | undefined]>([
    ['pm_lab_response_lost', undefined], // the SDK retries
    ['pm_lab_timeout', [504, 'processor_outcome_unknown']],
    ['pm_lab_unavailable_once', [503, 'processor_unavailable']],
    ['pm_lab_error_after_charge', undefined], // after the same failure twice, the ledger is read
    ['pm_lab_slow', undefined],
  ])('as with %s gives the money back once', async (method, first) => {
    const charge = await chargeBy(method);
    const key = newKey();
    let reply: Reply = await refund(apiFor(method), charge, key, { amount: 500 });
    if (first) {
      expect([reply.status, reply.body.code]).toEqual(first);
      expect(reply.body).toMatchObject({ retry: 'same_key', charge });
      expect(String(reply.body.refund)).toMatch(/^re_/);
      expect(Number(reply.headers['retry-after'])).toBeGreaterThanOrEqual(1);
      expect((await getCharge(api, charge)).body.amount_refunded).toBe(0);
      expect((await lookUp(api, key)).body).toMatchObject({ state: 'in_progress', attempts: 1 });
      reply = await refund(api, charge, key, { amount: 500 });
    }
    expect(reply).toMatchObject({ status: 201, body: { amount: 500, status: 'succeeded' } });
    expect(await gone(charge)).toEqual([500]);
    expect((await getCharge(api, charge)).body.amount_refunded).toBe(500);
  });

  test('and is down: 503, and the refund waits for it', async () => {
    const charge = await newCharge(api);
    const key = newKey();
    const bringBack = await service.stopSandbox();
    const down = await service.startApi({ PROCESSOR_URL: service.sandboxUrl });
    const reply = await refund(down.url, charge, key, { amount: 500 });
    expect(reply).toMatchObject({ status: 503, body: { code: 'processor_unavailable' } });
    await bringBack();
    expect((await refund(down.url, charge, key, { amount: 500 })).status).toBe(201);
    await down.stop();
    expect(await gone(charge)).toEqual([500]);
  });
});

test('a final refusal by the processor is stored, and releases the reserved amount', async () => {
  const charge = await newCharge(api);
  // An operator has refunded in the processor's dashboard, which our books do not know.
  await service.db.query(
    `UPDATE sandbox.payment_intents SET amount_refunded = amount_refunded + 1000
     WHERE metadata ->> 'charge' = $1`,
    [charge],
  );
  const key = newKey();
  const failed = await refund(api, charge, key, { amount: 500 });
  expect(failed).toMatchObject({
    status: 402,
    body: { code: 'refund_failed', retry: 'new_key', charge, failure_code: expect.any(String) },
  });
  expect((await refund(api, charge, key, { amount: 500 })).text).toBe(failed.text);
  expect((await getCharge(api, charge)).body.amount_refunded).toBe(0);
  expect((await refund(api, charge, newKey(), { amount: 200 })).status).toBe(201);
  expect(await gone(charge)).toEqual([200]);
});

describe('when the processor has forgotten the key of a refund', () => {
  test('its ledger is read before a request is sent, and nothing goes back twice', async () => {
    const charge = await chargeBy('pm_lab_timeout');
    const key = newKey();
    const body = { amount: 400 };
    expect((await refund(impatient.url, charge, key, body)).status).toBe(504);
    expect(await gone(charge)).toEqual([400]);
    await service.db.query('DELETE FROM sandbox.idempotency_keys');

    await ageByADay(charge);

    const reply = await refund(api, charge, key, body);
    expect(reply).toMatchObject({ status: 201, body: { amount: 400, status: 'succeeded' } });
    expect(await gone(charge)).toEqual([400]);
  });

  test('a refund that never arrived is sent', async () => {
    const charge = await chargeBy('pm_lab_unavailable_once');
    const key = newKey();
    const unreached = await refund(api, charge, key);
    expect([unreached.status, unreached.body.retry]).toEqual([503, 'same_key']);
    await ageByADay(charge);
    expect((await refund(api, charge, key)).status).toBe(201);
    expect(await gone(charge)).toEqual([1200]);
  });

  test('a process that slept longer than the key’s window after reading the ledger sends nothing', async () => {
    const charge = await chargeBy('pm_card_visa');
    const key = newKey();
    // With a window of zero, each attempt is too late.
    const sleeper = await service.startApi({ PROCESSOR_KEY_WINDOW_SECONDS: '0' });
    expect((await refund(sleeper.url, charge, key)).status).toBe(503);
    expect((await refund(sleeper.url, charge, key)).status).toBe(503);
    await sleeper.stop();
    expect(await gone(charge)).toEqual([]);
    expect((await refund(api, charge, key)).status).toBe(201);
    expect(await gone(charge)).toEqual([1200]);
  });
});

/** Ages a pending refund by a day, which is longer than the processor remembers its key. */
async function ageByADay(charge: string): Promise<void> {
  await service.db.query(
    `UPDATE refunds SET created_at = created_at - interval '1 day' WHERE charge_id = $1`,
    [charge],
  );
}
