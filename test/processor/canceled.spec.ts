import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { StripeProcessor } from '../../src/processor/stripe-processor.js';

/** A payment that did not end at once, and what has become of it since, as Stripe would show it. */
let server: Server;
let processor: StripeProcessor;
let created: object;
let now: object;
let listed: object[];
beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    const { method, url = '' } = request;
    const body = method === 'POST' ? created : url.includes('?') ? page() : now;
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
const canceled = { kind: 'rejected', failureCode: 'canceled' };

test('a repeat of the original is told what has become of it, not what it was at first', async () => {
  created = payment('pi_1', 'processing');
  now = payment('pi_1', 'canceled');
  expect(await processor.pay('ch_1', '{}')).toEqual({ ...canceled, reference: 'pi_1' });
});

describe('a look at the ledger', () => {
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

  test('finds a canceled payment: nothing was taken and nothing can be', async () => {
    expect(await look(gone)).toMatchObject(canceled);
  });

  test('finds no end while another payment of the charge has none', async () => {
    expect(await look(gone, open)).toMatchObject({ kind: 'unknown' });
    expect(await look(open, gone)).toMatchObject({ kind: 'unknown' });
  });

  test('finds the payment that succeeded, whatever else there is', async () => {
    for (const order of [
      [paid, gone, open],
      [open, gone, paid],
      [gone, paid],
    ])
      expect(await look(...order)).toEqual({ kind: 'succeeded', reference: 'pi_paid' });
  });
});
