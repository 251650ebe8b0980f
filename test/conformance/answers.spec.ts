import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { broken, check, SMALL } from './conformance.support.js';
import { RawServer, type Respond } from './raw-server.js';

const OK = 'HTTP/1.1 201 Created\r\n';
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;
const MB = 2 ** 20;

/** A busy machine reads 10 MB in a few seconds; the limit is for hangs. */
const outcome = (respond: Respond, ...only: string[]) => outcomeWithin(60, respond, ...only);

/** Whole profiles are not needed: the first POST of a run is enough. */
async function outcomeWithin(requestSeconds: number, respond: Respond, ...only: string[]) {
  const server = await RawServer.start(respond);
  const profile = { ...SMALL, accounts: SMALL.accounts.slice(0, 1) };
  const timing = { ...SMALL.timing, requestSeconds };
  const args = only.flatMap((id) => ['--only', id]);
  const checked = await check({ ...profile, timing }, server.url, ...args);
  await server.stop();
  return checked;
}

/** Writes the text again and again until the client closes the connection. */
async function endless(socket: Socket, text: string): Promise<void> {
  while (!socket.destroyed)
    await new Promise((resolve) => socket.write(text, () => setImmediate(resolve)));
}

describe('a response that breaks RFC 9112 ends the check with 2 and a reason', () => {
  const ROWS: [what: string, bytes: string, reason: string][] = [
    ['a negative chunk size', `${CHUNKED}-6\r\n${'x'.repeat(60)}\r\n0\r\n\r\n`, 'chunk size "-6"'],
    ['a chunk size with a sign', `${CHUNKED}+2\r\n{}\r\n0\r\n\r\n`, 'chunk size "+2"'],
    ['a chunk size with 0x', `${CHUNKED}0x2\r\n{}\r\n0\r\n\r\n`, 'chunk size "0x2"'],
    ['an empty chunk size', `${CHUNKED}\r\n{}\r\n0\r\n\r\n`, 'chunk size ""'],
    ['a chunk that is longer than its size', `${CHUNKED}1\r\n{}\r\n0\r\n\r\n`, 'a chunk is longer'],
    ['a huge chunk size', `${CHUNKED}fffffffffffff\r\n`, 'larger than 10 MB'],
    ['a length that is no number', `${OK}Content-Length: abc\r\n\r\n{}`, 'Content-Length "abc"'],
    ['a negative length', `${OK}Content-Length: -2\r\n\r\n{}`, 'Content-Length "-2"'],
    ['a length with a sign', `${OK}Content-Length: +2\r\n\r\n{}`, 'Content-Length "+2"'],
    ['a length with an exponent', `${OK}Content-Length: 2e0\r\n\r\n{}`, 'Content-Length "2e0"'],
    [
      'two lengths',
      `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} `,
      'Content-Length "2, 3"',
    ],
    ['a huge length', `${OK}Content-Length: 99999999999\r\n\r\n{}`, 'larger than 10 MB'],
    [
      'a length and chunks',
      `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'both Content-Length and Transfer-Encoding',
    ],
    [
      'another transfer coding',
      `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      'Transfer-Encoding "gzip, chunked"',
    ],
    [
      'a compressed body',
      `${OK}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}`,
      'compressed (Content-Encoding "gzip")',
    ],
    ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n', 'not an HTTP/1.1 response: "SSH-2.0-OpenSSH'],
    ['a status of two digits', 'HTTP/1.1 99 Low\r\n\r\n', 'not an HTTP/1.1 response'],
    ['a change of protocols', 'HTTP/1.1 101 Switch\r\n\r\n', 'switches protocols'],
    ['a header without a colon', `${OK}nonsense\r\n\r\n`, 'broken header line "nonsense"'],
    ['a space before the colon', `${OK}Content-Length : 2\r\n\r\n{}`, 'broken header line'],
    ['a NUL in a header', `${OK}X: a\0b\r\n\r\n`, 'broken header line'],
    ['lines without CR', 'HTTP/1.1 201 Created\n\n', 'does not end with CR LF'],
    ['no body although 204', 'HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n', 'answered 204, not'],
  ];

  it.each(ROWS)('%s', async (_, bytes, reason) => {
    const { exitCode, output } = await outcome((socket) => void socket.write(bytes));
    expect(output).toContain(reason);
    expect(exitCode).toBe(2);
  });

  it.each([
    ['a body that ends early', (socket) => socket.end(`${OK}Content-Length: 9\r\n\r\n{}`)],
    ['chunks that end early', (socket) => socket.end(`${CHUNKED}9\r\n{}`)],
    ['no last chunk', (socket) => socket.end(`${CHUNKED}2\r\n{}\r\n`)],
    ['a head that ends early', (socket) => socket.end(OK)],
    [
      'a body without a length, reset',
      (socket) => socket.write(`${OK}\r\n{}`, () => setTimeout(() => socket.resetAndDestroy(), 50)),
    ],
  ] as [string, (socket: Socket) => void][])('%s', async (_, respond) => {
    const { exitCode, output } = await outcome(respond);
    expect(output).toMatch(/the connection ended inside the response \((closed|ECONNRESET)\)/);
    expect(exitCode).toBe(2);
  });

  it.each([
    ['an endless head', OK, 'X-More: 1\r\n'.repeat(1000), 'head of the response is larger'],
    ['an endless header', `${OK}X: `, 'x'.repeat(10_000), 'head of the response is larger'],
    ['interim responses', '', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(1e4), 'larger than 10 MB'],
    ['endless chunks', CHUNKED, `${(MB / 4).toString(16)}\r\n${'x'.repeat(MB / 4)}\r\n`, '10 MB'],
    ['an endless body', `${OK}\r\n`, 'x'.repeat(MB), 'the response is larger than 10 MB'],
    ['an endless chunk extension', `${CHUNKED}2;`, 'x'.repeat(10_000), 'line of the response is'],
    ['endless trailers', `${CHUNKED}0\r\n`, 'X-More: 1\r\n'.repeat(1000), 'is larger than 64 KB'],
  ])('%s', async (_, start, more, reason) => {
    const { exitCode, output } = await outcome((socket) => {
      socket.write(start);
      void endless(socket, more);
    });
    expect(output).toContain(reason);
    expect(exitCode).toBe(2);
  });

  it('a response that comes too slowly', async () => {
    const { exitCode, output } = await outcomeWithin(2, (socket) => {
      socket.write(`${OK}Content-Length: 100\r\n\r\n`);
      const drip = setInterval(() => socket.write('x'), 100);
      socket.on('close', () => clearInterval(drip));
    });
    expect(output).toMatch(/the response was not complete within 2 s \(\d+ bytes came\)/);
    expect(exitCode).toBe(2);
  });
});

describe('a response that RFC 9112 allows is read', () => {
  const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  const length = (text: string) => `Content-Length: ${Buffer.byteLength(text)}\r\n`;
  const KEPT = ['concurrency.pipelined', 'concurrency.kept-connection'];

  it.each([
    ['trailers', (text) => `${CHUNKED}${chunk(text)}0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n`],
    ['chunk extensions', (text) => `${CHUNKED}${chunk(text).replace('\r', ';a="b"\r')}0;z\r\n\r\n`],
    [
      'capital sizes',
      (text) =>
        `${CHUNKED}00${chunk(text).toUpperCase().slice(0, 4)}${chunk(text).slice(4)}000\r\n\r\n`,
    ],
    [
      'interim responses',
      (text) =>
        `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}${length(text)}\r\n${text}`,
    ],
    ['equal lengths', (text) => `${OK}${length(text)}${length(text)}\r\n${text}`],
    ['a folded header', (text) => `${OK}X: a\r\n  b\r\n${length(text)}\r\n${text}`],
    ['no reason phrase', (text) => `HTTP/1.1 201 \r\n${length(text)}\r\n${text}`],
    ['identity', (text) => `${OK}Content-Encoding: identity\r\n${length(text)}\r\n${text}`],
  ] as [string, (text: string) => string][])('%s', async (_, bytes) => {
    const respond: Respond = (socket, _status, text) => void socket.write(bytes(text));
    const checked = await outcome(respond, 'replay.one-object', ...KEPT);
    expect({ exitCode: checked.exitCode, broken: broken(checked) }).toEqual({
      exitCode: 0,
      broken: [],
    });
  });

  it('a body of HTTP/1.0 that ends with the connection', async () => {
    const respond: Respond = (socket, _status, text) =>
      void socket.end(`HTTP/1.0 201 Created\r\n\r\n${text}`);
    expect((await outcome(respond, 'replay.one-object')).exitCode).toBe(0);
  });

  it('single bytes', async () => {
    const respond: Respond = (socket, _status, text) => void drip(socket, CHUNKED + chunk(text));
    const drip = async (socket: Socket, bytes: string) => {
      for (const each of `${bytes}0\r\nX: 1\r\n\r\n`) {
        socket.write(each);
        await delay(1);
      }
    };
    expect((await outcome(respond, 'replay.one-object', ...KEPT.slice(1))).exitCode).toBe(0);
  });

  it('8 MB in small chunks', async () => {
    const many = chunk(' '.repeat(100)).repeat((8 * MB) / 105);
    const respond: Respond = (socket, _status, text) =>
      void socket.write(`${CHUNKED}${chunk(text)}${many}0\r\n\r\n`);
    expect((await outcome(respond, 'replay.one-object')).exitCode).toBe(0);
  });
});
