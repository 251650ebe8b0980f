import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  charge,
  openSite,
  send,
  startProgram,
  type Program,
  type Site,
} from './operation.support.js';

let site: Site;
let api: Program;
beforeAll(async () => {
  site = await openSite();
  const limits = { HTTP_HEADERS_TIMEOUT_MS: '1500', HTTP_REQUEST_TIMEOUT_MS: '3000' };
  api = await startProgram('api.js', {
    ...site.env,
    ...limits,
    HTTP_KEEP_ALIVE_TIMEOUT_MS: '500',
  });
});
afterAll(async () => {
  await api.stop();
  await site.close();
});

async function open(text: string): Promise<{ socket: Socket; answer: Promise<string> }> {
  const socket = connect(api.port, '127.0.0.1');
  let received = '';
  socket.setEncoding('utf8').on('data', (data: string) => (received += data));
  socket.on('error', () => undefined); // a reset also ends it
  // Not `once`, which rejects at a reset: data that arrived before it counts.
  const answer = new Promise<string>((done) => socket.once('close', () => done(received)));
  await once(socket, 'connect');
  socket.write(text);
  return { socket, answer };
}

describe('a slow client', () => {
  it('that sends its head byte by byte is disconnected, while others are served', async () => {
    const { socket, answer } = await open('GET /health/live HTTP/1.1\r\nHost: test\r\n');
    const drip = setInterval(() => socket.write('X-Slow: loris\r\n'), 50);
    expect((await charge(site, api.url, 'beside-slowloris')).status).toBe(201);
    expect(await answer).toMatch(/^HTTP\/1\.1 408 /);
    clearInterval(drip);
  });

  it('that never ends its body is disconnected, and its key is unused', async () => {
    const head = [
      'POST /charges HTTP/1.1',
      'Host: test',
      `Authorization: Bearer ${site.apiKey}`,
      'Content-Type: application/json',
      'Idempotency-Key: slow-body',
      'Content-Length: 60000',
      '',
      '{"amount":',
    ].join('\r\n');
    const { socket, answer } = await open(head);
    const drip = setInterval(() => socket.write(' '), 50);
    expect(await answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    clearInterval(drip);
    const { rows } = await site.db.query(
      `SELECT 1 FROM idempotency_records WHERE key = 'slow-body'`,
    );
    expect(rows).toEqual([]);
  });

  it('that is idle after its answer loses the connection, not the answer', async () => {
    const { answer } = await open('GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n');
    expect(await answer).toMatch(/^HTTP\/1\.1 200 [^]*\{"status":"ok"\}/);
  });

  it('that sends a head beyond 16 KiB is refused by the parser', async () => {
    const { answer } = await open(
      `GET / HTTP/1.1\r\nHost: test\r\nX-Long: ${'x'.repeat(17_000)}\r\n\r\n`,
    );
    expect(await answer).toMatch(/^HTTP\/1\.1 431 /);
  });
});

describe('security headers', () => {
  it.each(['/health/live', '/problems', '/nowhere', '/charges', '/%zz'])(
    'are on %s',
    async (path) => {
      const { headers } = await send(`${api.url}${path}`);
      expect(headers['content-security-policy']).toMatch(/^default-src 'self';/);
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['x-powered-by']).toBeUndefined();
      expect(headers['request-id']).toMatch(/^req_/);
    },
  );

  it('allow the problem pages their style sheet', async () => {
    for (const path of ['/problems', '/problems/card_declined', '/problems/not_ready']) {
      const page = await send(`${api.url}${path}`);
      expect(page.status).toBe(200);
      expect(page.text).not.toMatch(/<style|<script|style="| on\w+="/);
      const href = /<link rel="stylesheet" href="([^"]+)">/.exec(page.text)?.[1] ?? '';
      const style = await send(`${api.url}${href}`);
      expect(style.headers['content-type']).toMatch(/^text\/css/);
      expect(style.text).toContain('font:');
    }
  });
});
