import { createServer, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** What happens to one exchange. After the last one given: `pass`. */
export type Fate =
  | 'lose-request'
  | 'lose-response'
  | { status: number; headers?: Record<string, string>; body: string };

/** A proxy between a client and the API that loses requests or answers as the test orders. */
export async function lossyProxy(target: string) {
  const fates: Fate[] = [];
  const keys: string[] = [];
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      keys.push(String(incoming.headers['idempotency-key']));
      const body = await buffer(incoming);
      const fate = fates.shift();
      if (fate === 'lose-request') return incoming.socket.destroy();
      if (typeof fate === 'object') {
        return outgoing.writeHead(fate.status, fate.headers).end(fate.body);
      }
      const { method, headers, url = '/' } = incoming;
      const onward = send(target + url, { method, headers, agent: false }, (answer) => {
        void buffer(answer).then((bytes) => {
          if (fate === 'lose-response') return incoming.socket.destroy();
          outgoing.writeHead(answer.statusCode ?? 500, answer.headers).end(bytes);
        });
      });
      onward.end(body);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Sets the fates of the next exchanges. */
    next: (...more: Fate[]) => void fates.push(...more),
    /** The key of each exchange. */
    keys,
    close: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
