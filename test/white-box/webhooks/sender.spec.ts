import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { addressPolicy } from '../../../src/webhooks/outgoing/address-policy.js';
import { parseRetryAfter, send } from '../../../src/webhooks/outgoing/sender.js';
import { until } from '../../support/until.js';

/** A receiver that misbehaves, byte by byte. */
let server: Server;
let behave: (socket: Socket) => unknown = () => {};
let closed: Promise<unknown>;
beforeAll(async () => {
  server = createServer((socket) => {
    closed = new Promise((resolve) => socket.once('close', resolve)); // `once` would throw its reset
    socket.on('error', () => {});
    socket.once('data', () => behave(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(async () => {
  server.close();
  await once(server, 'close');
});

const NEVER = new AbortController().signal;

/**
 * @param timeoutMs long for exchanges that end by themselves: after a pause of this process, a timer fires before an
 * answer that has already arrived.
 */
function sendTo(
  how: typeof behave,
  { timeoutMs = 60_000, stopping = NEVER, protocol = 'http' } = {},
) {
  behave = how;
  const { port } = server.address() as AddressInfo;
  const message = {
    url: `${protocol}://127.0.0.1:${port}/`,
    id: 'evt_1',
    body: '{}',
    secrets: ['whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0'],
  };
  return send(message, addressPolicy(false), stopping, timeoutMs);
}

async function drip(socket: Socket, text: string) {
  for (const byte of text.repeat(100)) {
    if (socket.destroyed) return;
    socket.write(byte);
    await delay(20);
  }
}

describe('an exchange ends', () => {
  test.each<[string, number, typeof behave, object]>([
    ['without an answer', 300, () => {}, { error: 'no answer in time' }],
    [
      'with a head that arrives byte by byte',
      300,
      (s) => drip(s, 'HTTP/1.1 200 OK\r\nA: b'),
      { error: 'no answer in time' },
    ],
    [
      'with a body that arrives byte by byte',
      5_000, // the head must arrive first
      (s) => {
        s.write('HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n');
        return drip(s, 'xxxxx');
      },
      { status: 200 },
    ],
    [
      'with a body that never arrives, and a Retry-After',
      5_000,
      (s) => s.write('HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 900\r\n\r\n'),
      { status: 503, retryAfterMs: 7000 },
    ],
  ])('in time %s', async (_how, timeoutMs, how, expected) => {
    expect(await sendTo(how, { timeoutMs })).toEqual(expected);
    await closed; // no connection is left open
  });

  test.each<[string, typeof behave, object]>([
    [
      'with a body that is too long',
      (s) => s.write(`HTTP/1.1 410 Gone\r\nContent-Length: 99999\r\n\r\n${'x'.repeat(70_000)}`),
      { status: 410 },
    ],
    [
      'with a body that is not a chunk',
      (s) => s.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n'),
      { status: 200 },
    ],
    [
      'with a head that is too long',
      (s) => s.write(`HTTP/1.1 200 OK\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`),
      { error: 'the request failed: HPE_HEADER_OVERFLOW' },
    ],
    [
      'with another protocol',
      (s) =>
        s.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'),
      { status: 101 },
    ],
    [
      'with announcements of an answer that never comes',
      (s) => s.write('HTTP/1.1 100 Continue\r\n\r\n'.repeat(100)),
      { error: 'the answer is too long' },
    ],
    ['with a reset', (s) => s.resetAndDestroy(), { error: 'the request failed: ECONNRESET' }],
    [
      'in the middle of the body',
      (s) => s.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'),
      { status: 200 },
    ],
    [
      'with something that is not HTTP',
      (s) => s.end('220 mail\r\n'),
      { error: 'the request failed: HPE_INVALID_CONSTANT' },
    ],
    ['with an answer', (s) => s.end('HTTP/1.1 204 No Content\r\n\r\n'), { status: 204 }],
    [
      'with an answer and a Retry-After',
      (s) => s.end('HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n'),
      { status: 503, retryAfterMs: 7000 },
    ],
  ])('%s', async (_how, how, expected) => {
    expect(await sendTo(how)).toEqual(expected);
    await closed;
  });

  test('in time even if the garbage collector runs meanwhile', async () => {
    setFlagsFromString('--expose-gc');
    const collect = setInterval(runInNewContext('gc') as () => void, 20);
    try {
      let ended = false;
      const sent = sendTo(() => {}, { timeoutMs: 300 }).finally(() => (ended = true));
      await until(async () => ended); // a limit, because a collected timer never fires
      expect(await sent).toEqual({ error: 'no answer in time' });
    } finally {
      clearInterval(collect);
    }
  });

  test('when the process stops', async () => {
    const stopping = new AbortController();
    const sent = sendTo(() => stopping.abort(), { stopping: stopping.signal });
    expect(await sent).toEqual({ error: 'interrupted on our side' });
    await closed;
  });

  test('with the status already received, when the process stops while it reads the body', async () => {
    const stopping = new AbortController();
    const how = (socket: Socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n');
      return drip(socket, 'x');
    };
    const onHead = () => setImmediate(() => stopping.abort());
    subscribe('http.client.response.finish', onHead);
    const sent = await sendTo(how, { stopping: stopping.signal });
    unsubscribe('http.client.response.finish', onHead);
    expect(sent).toEqual({ status: 200 });
    await closed;
  });

  test('with an error, without the expected TLS and without a server', async () => {
    const plain = await sendTo((s) => s.end('HTTP/1.1 200 OK\r\n\r\n'), { protocol: 'https' });
    expect(plain.error).toMatch(/^the request failed: (ERR_SSL|EPROTO|ECONNRESET)/);
    const message = { url: 'http://127.0.0.1:1/', id: 'evt_1', body: '{}', secrets: [] };
    expect(await send(message, addressPolicy(false), NEVER, 10_000)).toEqual({
      error: 'the request failed: ECONNREFUSED',
    });
  });
});

test.each([
  ['120', 120_000],
  ['0', 0],
  ['Sun, 06 Nov 2033 08:49:37 GMT', 17_000],
  ['Sun, 06 Nov 1994 08:49:37 GMT', 0],
  ['9999999999', 9_999_999_999_000],
  ['0'.repeat(20) + '7', 7000],
  ['9'.repeat(400), Infinity],
  ['-5', undefined],
  ['120.5', undefined],
  ['1e3', undefined],
  ['2033-11-06T08:49:37Z', undefined],
  ['Sun, 6 Nov 2033 08:49:37 GMT', undefined],
  ['Mon, 06 Nov 2033 08:49:37 GMT', undefined], // it is a Sunday
  ['Sunday, 06-Nov-33 08:49:37 GMT', undefined],
  ['Invalid Date', undefined],
  ['', undefined],
  [undefined, undefined],
])('Retry-After: %s', (value, ms) => {
  expect(parseRetryAfter(value, new Date('2033-11-06T08:49:20Z'))).toBe(ms);
});
