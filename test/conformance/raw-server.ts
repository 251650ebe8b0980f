import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { json } from 'node:stream/consumers';

/** Writes the bytes of one response to the socket. */
export type Respond = (socket: Socket, status: number, text: string) => void;

/** A correct API for things whose responses are written byte by byte, without the help of Node's server. */
export class RawServer {
  private readonly things = new Map<string, object>();
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((request, response) => {
    const { socket, method, headers } = request;
    this.sockets.add(socket);
    response.sendDate = false; // `response` itself is never used
    const list = JSON.stringify({ data: [...this.things.values()] });
    if (method !== 'POST') return wellFramed(socket, 200, list);
    void json(request).then((body) => {
      const key = String(headers['idempotency-key']);
      if (!this.things.has(key)) this.things.set(key, { id: key, ...(body as object) });
      this.respond(socket, 201, JSON.stringify(this.things.get(key)));
    });
  });

  private constructor(private readonly respond: Respond) {}

  static async start(respond: Respond): Promise<RawServer> {
    const started = new RawServer(respond);
    started.server.on('connection', (socket) => socket.on('error', () => undefined));
    started.server.listen(0, '127.0.0.1');
    await once(started.server, 'listening');
    return started;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, 'close');
  }
}

const wellFramed: Respond = (socket, status, text) => {
  socket.write(
    `HTTP/1.1 ${status} OK\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
};
