import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** One request, unchanged. */
export interface Received {
  path: string;
  id: string;
  type: string;
  body: string;
  signature: string;
  at: number;
}

export interface Receiver {
  url: string;
  received: Received[];
  /** Sets the answer from now on. Default: 200. */
  answer(how: number | ((response: ServerResponse, received: Received) => void)): void;
  stop(): Promise<void>;
}

/** Accepts every notification without checks: what arrives here is what was sent. */
export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  let answer: (response: ServerResponse, received: Received) => void = (response) => response.end();
  const server = createServer((request, response) => {
    const take = (body: string) => {
      const { id, type } = JSON.parse(body) as { id: string; type: string };
      const signature = String(request.headers['stripe-signature']);
      const each = { path: request.url ?? '', id, type, body, signature, at: Date.now() };
      received.push(each);
      answer(response, each);
    };
    // The sender may be killed in the middle of a request.
    text(request).then(take, () => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`,
    received,
    answer(how) {
      answer = typeof how === 'number' ? (response) => response.writeHead(how).end() : how;
    },
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
