import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

/**
 * Behaves like a pooler in transaction mode that ignores start-up parameters: `options` never arrives, and the process
 * id that the client gets is not the server's.
 */
export async function startStrippingPooler(databaseUrl: string) {
  const target = new URL(databaseUrl);
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    const end = () => void [client.destroy(), upstream.destroy()];
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
    client.once('data', (startUp) => {
      upstream.write(withoutOptions(startUp));
      client.pipe(upstream);
    });
    let sawKey = false;
    upstream.on('data', (data) => {
      // BackendKeyData is the server's first message with this type and length: type, length, process, secret.
      const at = sawKey ? -1 : data.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
      if (at >= 0) {
        sawKey = true;
        data.writeInt32BE(data.readInt32BE(at + 5) ^ 0x2a, at + 5);
      }
      client.write(data);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(databaseUrl);
  url.port = String((server.address() as AddressInfo).port);
  return { url: url.href, close: () => server.close() };
}

/** StartupMessage: length, version, then names and values, each ended by a zero byte, and a final zero byte. */
function withoutOptions(message: Buffer): Buffer {
  const parts = message.toString('utf8', 8).split('\0');
  const at = parts.findIndex((part, index) => index % 2 === 0 && part === 'options');
  if (at >= 0) parts.splice(at, 2);
  const body = Buffer.from(parts.join('\0'));
  const head = Buffer.from(message.subarray(0, 8));
  head.writeInt32BE(body.length + 8);
  return Buffer.concat([head, body]);
}
