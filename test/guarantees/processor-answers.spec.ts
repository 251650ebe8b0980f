import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, ledger, paymentsOf } from '../support/books.js';
import { charge, chargeUntilAnswered, getCharge, lookUp } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';

let service: Service;
/** The SDK's own retries must fit within its deadline. */
let patient: Running;
beforeAll(async () => {
  // Long enough that the first attempt arrives before its answer is lost, even on a slow machine.
  service = await startService({ env: { PROCESSOR_TIMEOUT_MS: '5000' } });
  patient = await service.startApi({ PROCESSOR_TIMEOUT_MS: '30000' });
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

const by = (payment_method: string) => ({ payment_method });

describe('a processor that', () => {
  test('charges and loses its answer is called again: 201 and one payment', async () => {
    const { sandboxUrl, gate } = service;
    const reply = await charge(patient.url, 'lost', by('pm_lab_response_lost'));
    expect(reply).toMatchObject({ status: 201, body: { status: 'succeeded' } });
    expect(gate.attempts(reply.body.id)).toBeGreaterThan(1);
    expect(await paymentsOf(sandboxUrl, reply.body.id)).toHaveLength(1);
  });

  test('charges and never answers leaves the charge pending: the client gets 504, and its retry ends it', async () => {
    const { apiUrl, sandboxUrl } = service;
    const unknown = await charge(apiUrl, 'silent', by('pm_lab_timeout'));
    expect(unknown).toMatchObject({
      status: 504,
      body: { code: 'processor_outcome_unknown', retry: 'same_key' },
    });
    expect(Number(unknown.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(unknown.headers).not.toHaveProperty('idempotency-expires');
    const id = unknown.body.charge;
    expect((await getCharge(apiUrl, id)).body).toMatchObject({ id, status: 'pending' });
    expect((await lookUp(apiUrl, 'silent')).body).toMatchObject({ state: 'in_progress' });

    const retry = await charge(apiUrl, 'silent', by('pm_lab_timeout'));
    expect(retry).toMatchObject({ status: 201, body: { id, status: 'succeeded' } });
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
  });

  test('charges and answers 500 forever is asked for its ledger, which shows the payment: 201', async () => {
    const { sandboxUrl } = service;
    const reply = await charge(patient.url, 'five hundred', by('pm_lab_error_after_charge'));
    expect(reply).toMatchObject({ status: 201, body: { status: 'succeeded' } });
    const [payment, ...more] = await paymentsOf(sandboxUrl, reply.body.id);
    expect(more).toEqual([]);
    expect(reply.body.processor_reference).toBe(payment?.id);
  });

  test('refuses with 429 has charged nothing: the client gets 503, and its retry charges', async () => {
    const { apiUrl, sandboxUrl } = service;
    const refused = await charge(apiUrl, 'busy', by('pm_lab_unavailable_once'));
    expect(refused).toMatchObject({
      status: 503,
      body: { code: 'processor_unavailable', retry: 'same_key' },
    });
    expect(await paymentsOf(sandboxUrl, refused.body.charge)).toEqual([]);
    const retry = await charge(apiUrl, 'busy', by('pm_lab_unavailable_once'));
    expect(retry).toMatchObject({ status: 201, body: { id: refused.body.charge } });
    expect(await paymentsOf(sandboxUrl, retry.body.id)).toHaveLength(1);
  });
});

describe('a final refusal is stored and replayed', () => {
  test.each([
    ['pm_card_visa_chargeDeclined', 'card_declined', { decline_code: 'generic_decline' }],
    [
      'pm_card_visa_chargeDeclinedInsufficientFunds',
      'card_declined',
      { decline_code: 'insufficient_funds' },
    ],
    ['pm_card_chargeDeclinedExpiredCard', 'card_declined', { decline_code: 'expired_card' }],
    [
      'pm_card_authenticationRequired',
      'card_declined',
      { decline_code: 'authentication_required' },
    ],
    ['pm_card_threeDSecure2Required', 'card_declined', { decline_code: 'authentication_required' }],
    ['pm_nobody_knows', 'charge_failed', { failure_code: 'resource_missing' }],
  ])('%s is %s', async (method, code, details) => {
    const { apiUrl, sandboxUrl } = service;
    const first = await charge(apiUrl, method, by(method));
    const again = await charge(apiUrl, method, by(method));
    expect(first).toMatchObject({ status: 402, body: { code, retry: 'new_key', ...details } });
    expect(first.body.request_id).toBe(first.headers['request-id']);
    expect(again).toMatchObject({ status: 402, text: first.text });
    expect(again.headers['idempotent-replayed']).toBe('true');
    expect(again.headers['idempotency-expires']).toBe(first.headers['idempotency-expires']);
    expect(again.headers['original-request-id']).toBe(first.body.request_id);

    const id = first.body.charge;
    const { decline_code } = first.body;
    const failed = { status: 'failed', decline_code: decline_code ?? null };
    expect((await getCharge(apiUrl, id)).body).toMatchObject(failed);
    expect((await lookUp(apiUrl, method)).body).toMatchObject({ state: 'completed', attempts: 1 });
    expect(await paymentsOf(sandboxUrl, id)).toEqual([]);
  });
});

test('a payment that asks for 3-D Secure is canceled, so that it cannot be completed later', async () => {
  const { apiUrl, sandboxUrl, db } = service;
  const refused = await charge(apiUrl, '3ds', by('pm_card_threeDSecure2Required'));
  expect(refused.body.detail).toMatch(/3-D Secure.* only with another payment method/);
  const id = refused.body.charge;
  const made = (await ledger(sandboxUrl)).filter(({ metadata }) => metadata.charge === id);
  expect(made).toMatchObject([{ status: 'canceled' }]);
  const sent = await db.query<{ object: unknown }>(
    `SELECT data -> 'object' AS object FROM events WHERE cause = $1`,
    [id],
  );
  expect(sent.rows).toMatchObject([{ object: { decline_code: 'authentication_required' } }]);
});

describe('a processor that is down', () => {
  test('has charged nothing: 503, pending, and 201 when it is up again', async () => {
    // Not through the gate: no process listens on the processor's port.
    const api = await service.startApi({
      PROCESSOR_URL: service.sandboxUrl,
      PROCESSOR_TIMEOUT_MS: '8000',
    });
    const bringBack = await service.stopSandbox();
    const refused = await charge(api.url, 'down');
    expect(refused).toMatchObject({
      status: 503,
      body: { code: 'processor_unavailable', retry: 'same_key' },
    });
    expect((await getCharge(api.url, refused.body.charge)).body.status).toBe('pending');
    await bringBack();
    const retry = await charge(api.url, 'down');
    expect(retry).toMatchObject({ status: 201, body: { id: refused.body.charge } });
    await api.stop();
  });

  test('after an attempt with an unknown outcome: still 504, never "nothing happened"', async () => {
    // Long enough for all attempts of the SDK to be refused. Alone, this attempt would mean "nothing happened".
    const direct = await service.startApi({
      PROCESSOR_URL: service.sandboxUrl,
      PROCESSOR_TIMEOUT_MS: '8000',
    });
    const doubt = await charge(service.apiUrl, 'doubt', by('pm_lab_timeout'));
    expect(doubt.status).toBe(504);
    const bringBack = await service.stopSandbox();
    const down = await charge(direct.url, 'doubt', by('pm_lab_timeout'));
    await bringBack();
    expect(down).toMatchObject({ status: 504, body: { code: 'processor_outcome_unknown' } });
    const end = await charge(direct.url, 'doubt', by('pm_lab_timeout'));
    expect(end).toMatchObject({ status: 201, body: { id: doubt.body.charge } });
    expect(await paymentsOf(service.sandboxUrl, end.body.id)).toHaveLength(1);
    await direct.stop();
  });

  test('is called again by the worker, so the charge ends without a retry', async () => {
    const { apiUrl, sandboxUrl } = service;
    const left = await charge(apiUrl, 'left', by('pm_lab_timeout'));
    expect(left.status).toBe(504);
    const worker = await service.startWorker();
    const end = await chargeUntilAnswered(apiUrl, 'left', by('pm_lab_timeout'));
    expect(end).toMatchObject({ status: 201, body: { id: left.body.charge } });
    expect(await paymentsOf(sandboxUrl, left.body.charge)).toHaveLength(1);
    await worker.stop();
  });
});

test('the processor gets amount, currency, account, charge and order', async () => {
  const { apiUrl, sandboxUrl } = service;
  const { body } = await charge(apiUrl, 'sent', { amount: 4321, currency: 'jpy' });
  const [sent] = (await ledger(sandboxUrl)).filter(({ metadata }) => metadata.charge === body.id);
  expect(sent).toMatchObject({ amount: 4321, currency: 'jpy', metadata: { charge: body.id } });
  expect(sent?.metadata.account).toMatch(/^acct_/);
});
