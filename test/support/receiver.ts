import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { until } from './until.js';

/** A request that the merchant's server received. */
export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  /** The bytes of the body, as text. */
  body: string;
}

/** Answers a request. Default: 200. */
export type Answer = (response: ServerResponse, received: Received) => unknown;

/** A merchant's server. */
export interface Receiver {
  url: string;
  port: number;
  /** All requests in order, including duplicates. */
  journal: Received[];
  /** How many connections were opened, including those without a request. */
  connections(): number;
  at(path: string): Received[];
  /** Resolves when `count` requests have arrived at this path. */
  received(path: string, count?: number): Promise<void>;
  /** Sets this path's answer from now on. */
  answer(path: string, answer: Answer): void;
  /** From now on this path does not answer. The returned function answers all waiting requests with 200. */
  hold(path: string): () => void;
  /** Breaks the connection of the n-th waiting request of this path. */
  drop(path: string, n: number): void;
  stop(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const journal: Received[] = [];
  const answers = new Map<string, Answer>();
  const held = new Map<string, ServerResponse[]>();
  let connections = 0;
  const server = createServer((request, response) => {
    readText(request).then(
      (body) => {
        const received = { path: request.url ?? '', headers: request.headers, body };
        journal.push(received);
        const answer = answers.get(received.path) ?? ((plain) => plain.end());
        answer(response, received);
      },
      () => response.destroy(),
    );
  });
  server.on('connection', () => (connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const at = (path: string) => journal.filter((each) => each.path === path);

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    journal,
    connections: () => connections,
    at,
    received: (path, count = 1) => until(async () => at(path).length >= count),
    answer: (path, answer) => void answers.set(path, answer),
    hold(path) {
      const waiting: ServerResponse[] = [];
      held.set(path, waiting);
      answers.set(path, (response) => waiting.push(response));
      return () => {
        answers.delete(path);
        waiting.forEach((response) => response.end());
      };
    },
    drop: (path, n) => void held.get(path)?.[n]?.destroy(),
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
