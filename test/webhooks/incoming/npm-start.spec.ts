import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { signal } from '../../support/internals.js';
import { expectCleanBooks, paymentsOf } from '../../support/books.js';
import { charge, getCharge, send } from '../../support/raw-client.js';
import { startStack, type Stack } from '../../support/stack.js';
import { until } from '../../support/until.js';
import { deliver, event, signature } from './incoming.support.js';

/** What a user of `npm start` sees: first the lab's faults, then the notification. */
let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { PROCESSOR_TIMEOUT_MS: '5000' } });
});
afterAll(() => expectCleanBooks(stack));
afterAll(() => stack.stop());

interface SentEvent {
  id: string;
  type: string;
  pending_webhooks: number;
  data: { object: { metadata: { charge?: string } } };
}

/** The processor's ledger, as curl shows it. */
async function sentAbout(charge: string): Promise<SentEvent[]> {
  const { body } = await send(`${stack.sandboxUrl}/v1/events?limit=100`, { apiKey: 'sk_test_any' });
  return (body.data as SentEvent[]).filter(({ data }) => data.object.metadata.charge === charge);
}

test('a charge that times out is 504; its notification settles it, even while the worker sleeps', async () => {
  const { apiUrl, sandboxUrl } = stack;
  const worker = await stack.workerPid();
  signal(worker, 'SIGSTOP');
  try {
    const timeout = { payment_method: 'pm_lab_timeout' };
    const lost = await charge(apiUrl, 'timeout', timeout);
    expect(lost).toMatchObject({ status: 504, body: { code: 'processor_outcome_unknown' } });
    const id = lost.body.charge;
    await until(async () => (await getCharge(apiUrl, id)).body.status === 'succeeded');
    const retry = await charge(apiUrl, 'timeout', timeout);
    expect(retry).toMatchObject({ status: 201, body: { id } });
    expect(retry.headers['idempotent-replayed']).toBe('true');
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
    await until(async () => (await sentAbout(id))[0]?.pending_webhooks === 0);
  } finally {
    signal(worker, 'SIGCONT');
  }
});

test('after an answer that is not lost, the notification changes nothing', async () => {
  const { apiUrl, sandboxUrl } = stack;
  const first = await charge(apiUrl, 'answered');
  expect(first.status).toBe(201);
  expect(first.headers).not.toHaveProperty('idempotent-replayed');
  const { id } = first.body;
  const delivered = () =>
    until(async () => (await sentAbout(id)).every(({ pending_webhooks: left }) => left === 0));
  await delivered();
  // Again by hand, as the comment in the sandbox shows.
  const [news] = await sentAbout(id);
  await send(`${sandboxUrl}/v1/events/${news!.id}/retry`, {
    method: 'POST',
    apiKey: 'sk_test_any',
  });
  await delivered();
  expect((await charge(apiUrl, 'answered')).text).toBe(first.text);
});

test('only the processor can sign: each start has its own secret', async () => {
  const body = JSON.stringify(event('ping', {}));
  for (const secret of ['whsec_sandbox', 'sk_test_acme'])
    expect((await deliver(stack.apiUrl, body, signature(body, secret))).status).toBe(400);
  expect(stack.output()).not.toContain('whsec_');
});
