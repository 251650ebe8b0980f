import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import Stripe from 'stripe';
import { StripeProcessor } from '../../../src/processor/stripe-processor.js';
import { startSandbox, type Sandbox } from '../../../src/sandbox/sandbox.server.js';

/** An intent that waits for 3-D Secure. Our parameters avoid it; those of a later Stripe version may not. */
const waiting = {
  amount: 1200,
  currency: 'eur',
  payment_method: 'pm_card_threeDSecure2Required',
  confirm: true,
};
const declined = { kind: 'declined', declineCode: 'authentication_required' };

let sandbox: Sandbox;
let stripe: Stripe;
let processor: StripeProcessor;
beforeAll(async () => {
  sandbox = await startSandbox({ databaseUrl: process.env.DATABASE_URL ?? '' });
  processor = processorAt(sandbox.port);
  const { port } = sandbox;
  stripe = new Stripe('sk_test_x', { host: '127.0.0.1', port, protocol: 'http', telemetry: false });
});
afterAll(() => sandbox.close());

function processorAt(port: number): StripeProcessor {
  const baseUrl = new URL(`http://127.0.0.1:${port}`);
  return new StripeProcessor({ name: 'x', secretKey: 'sk_test_x', baseUrl, timeoutMs: 5_000 });
}

describe('a payment that waits for 3-D Secure', () => {
  test('is canceled and declined, however often it is requested', async () => {
    const key = randomUUID();
    const first = await processor.pay(key, JSON.stringify(waiting));
    expect(first).toMatchObject(declined);
    expect(await processor.pay(key, JSON.stringify(waiting))).toEqual(first);
    const { reference } = first as { reference: string };
    expect((await stripe.paymentIntents.retrieve(reference)).status).toBe('canceled');
  });

  test('has succeeded if the customer was faster', async () => {
    const idempotencyKey = randomUUID();
    const { id, status } = await stripe.paymentIntents.create(waiting, { idempotencyKey });
    expect(status).toBe('requires_action');
    await stripe.paymentIntents.confirm(id, { payment_method: 'pm_card_visa' });
    expect(await processor.pay(idempotencyKey, JSON.stringify(waiting))).toEqual({
      kind: 'succeeded',
      reference: id,
    });
  });

  test('is canceled when it is found in the ledger', async () => {
    const charge = randomUUID();
    const before = new Date();
    const made = await stripe.paymentIntents.create({ ...waiting, metadata: { charge } });
    const found = await processor.look(charge, { from: before, to: new Date() });
    expect(found).toMatchObject({ reference: made.id, answer: declined });
    expect((await stripe.paymentIntents.retrieve(made.id)).status).toBe('canceled');
  });
});

test('is not final while the cancel has no answer: the customer could still complete it', async () => {
  const server = createServer((request, response) => {
    request.resume();
    if (request.url?.endsWith('/cancel')) return request.socket.destroy();
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ id: 'pi_1', object: 'payment_intent', status: 'requires_action' }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  expect(await processorAt(port).pay('k', JSON.stringify(waiting))).toMatchObject({
    kind: 'unknown',
    stored: false,
  });
  server.close();
  server.closeAllConnections();
});
