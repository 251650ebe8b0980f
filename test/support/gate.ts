import { once } from 'node:events';
import {
  createServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { until } from './until.js';

/**
 * A proxy between the API and the processor. A test decides when the processor works, so that a charge stays in flight
 * for as long as the test needs, without a race against a clock.
 */
export interface Gate {
  url: string;
  /** Resolves when `count` requests wait at the closed gate. */
  held(count: number): Promise<void>;
  /** From now on requests wait. The returned function releases them all. */
  close(): () => void;
  /** From now on the processor works, but its answers wait. The returned function releases them all. */
  holdAnswers(): () => void;
  /**
   * From now on a page of the payments' list has `size` entries and waits for `before`. The returned function ends
   * that.
   */
  page(size: number, before: () => Promise<unknown>): () => void;
  /** Sets what happens to requests from now on. */
  be(mood: Mood): void;
  /** How many payment requests had this key. */
  attempts(key: string): number;
  /** The headers of the last payment request with this key. */
  headersOf(key: string): IncomingHttpHeaders | undefined;
  stop(): Promise<void>;
}

/** `open`: requests pass. `losing`: the processor works, but its answers are lost. `refusing`: the gate answers 429. */
export type Mood = 'open' | 'losing' | 'refusing';

export async function startGate(target: () => string): Promise<Gate> {
  let open = Promise.resolve();
  let answersOpen = Promise.resolve();
  let waiting = 0;
  let mood: Mood = 'open';
  let paging: { size: number; before: () => Promise<unknown> } | undefined;
  const attempts = new Map<string, number>();
  const lastHeaders = new Map<string, IncomingHttpHeaders>();

  const pass = async (incoming: IncomingMessage, answer: ServerResponse) => {
    const body = await buffer(incoming);
    const key = incoming.headers['idempotency-key'];
    if (typeof key === 'string') {
      attempts.set(key, (attempts.get(key) ?? 0) + 1);
      lastHeaders.set(key, incoming.headers);
    }
    waiting += 1;
    await open;
    waiting -= 1;
    if (mood === 'refusing') {
      answer.writeHead(429, { 'content-type': 'application/json' });
      answer.end(JSON.stringify({ error: { type: 'rate_limit_error', message: 'the gate' } }));
      return;
    }
    const { method, headers, url = '/' } = incoming;
    const to = new URL(url, target());
    if (paging && method === 'GET' && to.pathname === '/v1/payment_intents') {
      to.searchParams.set('limit', String(paging.size));
      await paging.before();
    }
    const onward = request(to, { method, headers, agent: false });
    onward.on('error', () => answer.destroy());
    onward.on('response', (response) => {
      if (mood === 'losing') {
        response.resume();
        // Lose it after the first byte: before that, the SDK would retry twice, with pauses.
        answer.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
        answer.write('{', () => answer.destroy());
        return;
      }
      void answersOpen.then(() => {
        answer.writeHead(response.statusCode ?? 0, response.headers);
        response.on('error', () => answer.destroy()).pipe(answer);
      });
    });
    answer.on('close', () => onward.destroy());
    onward.end(body);
  };
  const server = createServer((incoming, answer) => {
    pass(incoming, answer).catch(() => answer.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    held: (count) => until(async () => waiting >= count),
    close() {
      let release = () => {};
      open = new Promise((resolve) => (release = resolve));
      return release;
    },
    holdAnswers() {
      let release = () => {};
      answersOpen = new Promise((resolve) => (release = resolve));
      return release;
    },
    page(size, before) {
      paging = { size, before };
      return () => (paging = undefined);
    },
    be(next) {
      mood = next;
    },
    attempts: (key) => attempts.get(key) ?? 0,
    headersOf: (key) => lastHeaders.get(key),
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
