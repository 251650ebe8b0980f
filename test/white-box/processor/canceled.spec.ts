import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { StripeProcessor } from '../../../src/processor/stripe-processor.js';

/** A payment that did not end immediately, and its later state, as Stripe would show it. */
let server: Server;
let processor: StripeProcessor;
let created: object;
let now: object;
let listed: object[];
/** The calls, such as `POST /v1/payment_intents`. */
let asked: string[];
beforeEach(() => {
  asked = [];
});
beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    const { method, url = '' } = request;
    asked.push(`${method} ${url}`);
    if (url.endsWith('/cancel')) now = { ...now, ...CANCELED_BY_US };
    const isCreate = method === 'POST' && !url.endsWith('/cancel');
    const body = isCreate ? created : url.includes('?') ? page() : now;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const baseUrl = new URL(`http://127.0.0.1:${port}`);
  processor = new StripeProcessor({ name: 'x', secretKey: 'sk_test_x', baseUrl, timeoutMs: 5_000 });
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const page = () => ({ object: 'list', data: listed, has_more: false, url: '/v1/payment_intents' });
const payment = (id: string, status: string) => ({
  ...{ id, object: 'payment_intent', amount: 1, currency: 'eur', status },
  metadata: { charge: 'ch_1', account: 'acct_1' },
});
const CANCELED_BY_US = { status: 'canceled', cancellation_reason: 'abandoned' };
const canceled = { kind: 'rejected', failureCode: 'canceled' };

test('a repeated pay() returns the current state of the payment, not its first state', async () => {
  created = payment('pi_1', 'processing');
  now = payment('pi_1', 'canceled');
  expect(await processor.pay('ch_1', '{}')).toEqual({ ...canceled, reference: 'pi_1' });
});

describe('a payment that asks for 3-D Secure after it was processing', () => {
  const declined = {
    kind: 'declined',
    code: 'authentication_required',
    declineCode: 'authentication_required',
    reference: 'pi_1',
  };
  const span = { from: new Date(0), to: new Date() };
  const cancel = 'POST /v1/payment_intents/pi_1/cancel';
  beforeEach(() => {
    created = payment('pi_1', 'processing');
    now = payment('pi_1', 'requires_action');
    listed = [created];
  });

  test('ends as if it had asked immediately, by a repeat of the original', async () => {
    expect(await processor.pay('ch_1', '{}')).toEqual(declined);
    expect(asked).toContain(cancel);
    created = now = payment('pi_1', 'requires_action');
    expect(await processor.pay('ch_1', '{}')).toEqual(declined);
  });

  test('ends the same by a lookup in the ledger', async () => {
    expect((await processor.look('ch_1', span))?.answer).toEqual(declined);
    expect(asked).toContain(cancel);
  });

  test('ends the same if another process canceled it and was killed', async () => {
    Object.assign(now, CANCELED_BY_US);
    expect(await processor.pay('ch_1', '{}')).toEqual(declined);
    expect(asked).not.toContain(cancel);
    listed = [now];
    expect((await processor.look('ch_1', span))?.answer).toEqual(declined);
  });
});

describe('a lookup in the ledger', () => {
  const look = async (...payments: object[]) => {
    listed = payments;
    const span = { from: new Date(0), to: new Date() };
    return (await processor.look('ch_1', span))?.answer;
  };
  const [paid, open, gone] = [
    payment('pi_paid', 'succeeded'),
    payment('pi_open', 'processing'),
    payment('pi_gone', 'canceled'),
  ];

  test('finds a canceled payment: nothing was or can be taken', async () => {
    expect(await look(gone)).toMatchObject(canceled);
  });

  test('is not final while another payment of the charge is pending', async () => {
    expect(await look(gone, open)).toMatchObject({ kind: 'unknown' });
    expect(await look(open, gone)).toMatchObject({ kind: 'unknown' });
  });

  test('finds the succeeded payment among others', async () => {
    for (const order of [
      [paid, gone, open],
      [open, gone, paid],
      [gone, paid],
    ])
      expect(await look(...order)).toEqual({ kind: 'succeeded', reference: 'pi_paid' });
  });
});
