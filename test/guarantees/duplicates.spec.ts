import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { charge, lookUp, send, type Reply } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';

const FIFTY = Array.from({ length: 50 });

let service: Service;
beforeAll(async () => {
  // Long enough that no duplicate gets 409 because the first request is slow.
  service = await startService({ env: { IDEMPOTENCY_WAIT_MS: '30000' } });
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

function expectOneAnswer(replies: Reply[]): void {
  expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 201));
  expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
  const replayed = replies.filter(({ headers }) => headers['idempotent-replayed'] === 'true');
  expect(replayed).toHaveLength(replies.length - 1);
  expect(new Set(replies.map(({ headers }) => headers['request-id'])).size).toBe(replies.length);
}

describe('fifty concurrent requests with one key', () => {
  test('make one charge and one payment, and all get the same answer', async () => {
    const { apiUrl, sandboxUrl } = service;
    const replies = await Promise.all(FIFTY.map(() => charge(apiUrl, 'fifty')));
    expectOneAnswer(replies);
    const { id } = replies[0]!.body;
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
    expect((await lookUp(apiUrl, 'fifty')).body).toMatchObject({ state: 'completed', attempts: 1 });
  });

  test('do the same across two processes on one database', async () => {
    const { sandboxUrl } = service;
    const [one, two] = await Promise.all([service.startApiProcess(), service.startApiProcess()]);
    const replies = await Promise.all(
      FIFTY.map((_, i) => charge(i % 2 ? one.url : two.url, 'two processes')),
    );
    await Promise.all([one.kill(), two.kill()]);
    expectOneAnswer(replies);
    const { id } = replies[0]!.body;
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
    const found = await lookUp(service.apiUrl, 'two processes');
    expect(found.body).toMatchObject({ state: 'completed', attempts: 1 });
  });
});

describe('while the first request runs', () => {
  /** Holds a charge at the processor; returns the function that lets it pass. */
  async function inFlight(key: string, apiUrl = service.apiUrl) {
    const open = service.gate.close();
    const first = charge(apiUrl, key);
    await service.gate.held(1);
    return { first, open };
  }

  test('the same key with another body is 422 and names the members that differ', async () => {
    const { first, open } = await inFlight('other body');
    const changed = { amount: 1300, description: 'more' };
    const refused = await charge(service.apiUrl, 'other body', changed);
    open();
    expect(refused).toMatchObject({
      status: 422,
      body: {
        code: 'idempotency_key_reused',
        retry: 'no',
        mismatched: ['/amount', '/description'],
      },
    });
    expect(refused.text).not.toMatch(/1200|1300/);
    expect((await first).status).toBe(201);
    // The same after the first request has ended.
    expect((await charge(service.apiUrl, 'other body', changed)).status).toBe(422);
  });

  test('Prefer: wait=0 gets 409 immediately, with Retry-After', async () => {
    const { first, open } = await inFlight('no wait');
    const refused = await charge(service.apiUrl, 'no wait', {}, { headers: { prefer: 'wait=0' } });
    open();
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'idempotency_request_in_progress', retry: 'same_key' },
    });
    expect(refused.headers['preference-applied']).toBe('wait=0');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect((await first).status).toBe(201);
  });

  test.each([
    ['wait=20', 'wait=20'],
    ['wait=31', 'wait=30'],
    ['wait=999999999', 'wait=30'],
    ['respond-async, wait=7', 'wait=7'],
  ])('Prefer: %s waits for the answer: %s', async (prefer, applied) => {
    const { first, open } = await inFlight(applied + prefer.length);
    const second = charge(service.apiUrl, applied + prefer.length, {}, { headers: { prefer } });
    open();
    const reply = await second;
    expect(reply.text).toBe((await first).text);
    expect(reply.headers['preference-applied']).toBe(applied);
  });

  test('a duplicate waits no longer than IDEMPOTENCY_WAIT_MS', async () => {
    const impatient = await service.startApi({ IDEMPOTENCY_WAIT_MS: '50' });
    const { first, open } = await inFlight('configured');
    const refused = await charge(impatient.url, 'configured');
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'idempotency_request_in_progress' },
    });
    expect(refused.headers).not.toHaveProperty('preference-applied');
    open();
    expect((await first).status).toBe(201);
    await impatient.stop();
  });
});

test('if the first request ends without an answer, one duplicate takes over and the others get its answer', async () => {
  const { apiUrl, sandboxUrl, gate } = service;
  const open = gate.close();
  // The first attempt charges, but the processor never answers.
  const impatient = await service.startApi({ PROCESSOR_TIMEOUT_MS: '4000' });
  const stuck = { payment_method: 'pm_lab_timeout' };
  const first = charge(impatient.url, 'takeover', stuck);
  await gate.held(1);
  const waiters = FIFTY.slice(30).map(() => charge(apiUrl, 'takeover', stuck));
  open();

  expect(await first).toMatchObject({ status: 504, body: { code: 'processor_outcome_unknown' } });
  const replies = await Promise.all(waiters);
  expectOneAnswer(replies);
  const { id } = replies[0]!.body;
  expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
  const after = await send(`${apiUrl}/idempotency-keys/takeover`);
  expect(after.body).toMatchObject({ state: 'completed', attempts: 2 });
  await impatient.stop();
});
