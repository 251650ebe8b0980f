import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { until } from '../support/until.js';

/** An external service: prints one badge for each id, however often it is asked. */
export interface Printer {
  url: string;
  /** The printed badges, in order. */
  printed: { id: string; name: string }[];
  /** How often it was asked to print this badge. */
  asked(id: string): number;
  /** The next request has its effect, but gets an error that does not say so. */
  failNext(): void;
  /** From now on requests wait. The returned function releases them. */
  close(): () => void;
  /** Resolves when `count` requests wait. */
  held(count: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startPrinter(): Promise<Printer> {
  let open = Promise.resolve();
  let waiting = 0;
  const printed: Printer['printed'] = [];
  const asked: string[] = [];
  let failing = false;

  const server = createServer((request, response) => {
    const print = async () => {
      const name = await text(request);
      const id = request.url!.split('/').at(-1)!;
      asked.push(id);
      waiting += 1;
      await open;
      waiting -= 1;
      const refused = name === '';
      if (!refused && !printed.some((badge) => badge.id === id)) printed.push({ id, name });
      response.writeHead(failing ? 500 : refused ? 422 : 200).end();
      failing = false;
    };
    print().catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    printed,
    asked: (id) => asked.filter((each) => each === id).length,
    failNext: () => void (failing = true),
    close() {
      let release = () => {};
      open = new Promise((done) => (release = done));
      return release;
    },
    held: (count) => until(async () => waiting >= count),
    async stop() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
