import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { StripeProcessor } from '../../../src/processor/stripe-processor.js';

/** The processor's answer to a fence decides whether a charge may be declared as never taken. */
let server: Server;
let processor: StripeProcessor;
let next: { status: number; headers?: Record<string, string>; error: Record<string, string> };
beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    response.writeHead(next.status, { 'content-type': 'application/json', ...next.headers });
    response.end(JSON.stringify({ error: next.error }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const baseUrl = new URL(`http://127.0.0.1:${port}`);
  processor = new StripeProcessor({ name: 'x', secretKey: 'sk_test_x', baseUrl, timeoutMs: 8_000 });
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const prepared = JSON.stringify({ amount: 1, currency: 'eur' });
const invalid = 'invalid_request_error';

test.each([
  ['the key belongs to another request', 400, { type: 'idempotency_error' }, 'used'],
  [
    'the amount is invalid, and the original has the same',
    400,
    { type: invalid, param: 'amount' },
    'fenced',
  ],
  [
    'the currency is invalid, and the original has the same',
    400,
    { type: invalid, param: 'currency' },
    'fenced',
  ],
  ['something else in it is invalid', 400, { type: invalid, param: 'metadata' }, 'unknown'],
  ['another request runs under the key', 409, { type: 'idempotency_error' }, 'unknown'],
  ['there are too many requests', 429, { type: 'rate_limit_error' }, 'unknown'],
  ['the processor failed', 500, { type: 'api_error' }, 'unknown'],
])('a fence is refused because %s (%d)', async (_why, status, error, kind) => {
  next = { status, error };
  expect((await processor.fence('ch_1', prepared)).kind).toBe(kind);
});

test('a failure that the processor has stored is recognised, even if the last attempt timed out', async () => {
  next = { status: 500, headers: { 'idempotent-replayed': 'true' }, error: { type: 'api_error' } };
  expect(await processor.pay('ch_1', prepared)).toMatchObject({ kind: 'unknown', stored: true });
});
