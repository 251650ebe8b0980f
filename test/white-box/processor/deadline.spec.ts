import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { StripeProcessor } from '../../../src/processor/stripe-processor.js';
import { freePort } from '../../../src/local/ports.js';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A processor with the answers of the test, and the times of its calls. */
async function fake(listener: RequestListener): Promise<{ port: number; asked: number[] }> {
  const asked: number[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(performance.now());
    request.resume();
    listener(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, asked };
}

function processor(port: number, timeoutMs = 600): StripeProcessor {
  const baseUrl = new URL(`http://127.0.0.1:${port}`);
  return new StripeProcessor({ name: 'fake', secretKey: 'sk_test_x', baseUrl, timeoutMs });
}

const TODAY = { from: new Date(), to: new Date() };
const prepared = JSON.stringify({ amount: 1, currency: 'eur' });

describe('a call to the processor ends by its deadline, including all attempts', () => {
  test('when the answer never starts', async () => {
    const { port, asked } = await fake(() => {});
    const began = performance.now();
    expect(await processor(port, 3_000).pay('silent', prepared)).toMatchObject({
      kind: 'unknown',
      stored: false,
    });
    // No attempt starts after it: a process that slept takes no money when it wakes up.
    expect(asked.filter((at) => at > began + 3_000)).toEqual([]);
    expect(asked).toHaveLength(1);
  });

  test('when the answer arrives byte by byte and never ends', async () => {
    const { port } = await fake((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    });
    expect(await processor(port, 3_000).pay('drip', prepared)).toMatchObject({ kind: 'unknown' });
    expect(await processor(port).fence('drip', prepared)).toMatchObject({ kind: 'unknown' });
    await expect(processor(port).look('ch_1', TODAY)).rejects.toThrow();
    await expect(processor(port).refundsOf('pi_1')).rejects.toThrow();
    await expect(processor(port).payment('pi_1')).rejects.toThrow();
  });

  test('when a connection is accepted by something that does not speak HTTP', async () => {
    const server = createTcpServer(() => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    expect(await processor(port, 3_000).pay('mute', prepared)).toMatchObject({ kind: 'unknown' });
  });

  test('when every attempt fails: the SDK retries with the same key', async () => {
    const keys: unknown[] = [];
    const { port, asked } = await fake((request, response) => {
      keys.push(request.headers['idempotency-key']);
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":{}}');
    });
    expect(await processor(port, 8_000).pay('again', prepared)).toMatchObject({ kind: 'unknown' });
    expect(asked).toHaveLength(3);
    expect(new Set(keys)).toEqual(new Set(['again']));
  });

  test('when the deadline falls between two attempts: the next one does not start', async () => {
    // The SDK waits at least 0.5 s before its first retry, longer than the call has.
    const { port, asked } = await fake((_request, response) => {
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":{}}');
    });
    expect(await processor(port, 450).pay('late', prepared)).toMatchObject({ kind: 'unknown' });
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // there is no event for "no call arrived"
    expect(asked).toHaveLength(1);
  });
});

describe('once an attempt is unknown, the whole call is unknown', () => {
  test('a reset, then a refused connection, is unknown and not "nothing happened"', async () => {
    const server = createServer((request) => {
      server.close();
      request.socket.destroy();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    expect(await processor(port, 8_000).pay('doubt', prepared)).toMatchObject({ kind: 'unknown' });
  });

  test('a refused connection alone is "nothing happened"', async () => {
    const port = await freePort();
    expect(await processor(port, 8_000).pay('closed', prepared)).toMatchObject({ kind: 'refused' });
  });
});

describe('"nothing happened"', () => {
  test('is reported if the processor is down until the deadline falls between two attempts', async () => {
    const port = await freePort();
    expect(await processor(port, 450).pay('down', prepared)).toMatchObject({ kind: 'refused' });
  });

  test('is reported by pay and refund if their time is over before they start: nothing is sent', async () => {
    const { port, asked } = await fake((request) => request.socket.destroy());
    const over = performance.now() - 1;
    expect(await processor(port).pay('over', prepared, over)).toMatchObject({ kind: 'refused' });
    expect(await processor(port).refund('over', prepared, over)).toMatchObject({ kind: 'refused' });
    expect(await processor(port).fence('over', prepared, over)).toMatchObject({ kind: 'unknown' });
    await expect(processor(port).look('ch_1', TODAY, async () => over)).rejects.toThrow();
    await expect(processor(port).refundsOf('pi_1', over)).rejects.toThrow();
    expect(asked).toEqual([]);
  });

  test('is not reported for a payment in processing when the following call is refused', async () => {
    const { port } = await fake((request, response) => {
      const [status, body] =
        request.method === 'POST'
          ? [200, '{"id":"pi_1","object":"payment_intent","status":"processing"}']
          : [429, '{"error":{"type":"invalid_request_error","code":"rate_limit"}}'];
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
    expect(await processor(port, 8_000).pay('slow', prepared)).toMatchObject({ kind: 'unknown' });
  });
});

test('the stored parameters are sent, whatever the current code would prepare', async () => {
  const bodies: string[] = [];
  const { port } = await fake((request, response) => {
    request.on('data', (bytes: Buffer) => bodies.push(bytes.toString()));
    request.on('end', () => {
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end('{"id":"pi_1","object":"payment_intent","status":"succeeded"}');
    });
  });
  const old = JSON.stringify({ amount: 5, currency: 'eur', description: 'as of an older version' });
  expect(await processor(port, 8_000).pay('old', old)).toEqual({
    kind: 'succeeded',
    reference: 'pi_1',
  });
  expect(Object.fromEntries(new URLSearchParams(bodies.join('')))).toEqual({
    amount: '5',
    currency: 'eur',
    description: 'as of an older version',
  });
});
