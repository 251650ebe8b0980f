import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { freePort } from '../../local/ports.js';
import type { Delivery } from '../history.js';

/** The merchants' server: records each webhook, then answers 200. The path is the account. @returns its port */
export async function startMerchant(record: (delivery: Delivery) => void): Promise<number> {
  const server = createServer((request, response) => {
    text(request).then(
      (body) => {
        const webhookId = String(request.headers['webhook-id']);
        record({ account: (request.url ?? '').slice(1), webhookId, body });
        response.end();
      },
      () => response.destroy(),
    );
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return port;
}
