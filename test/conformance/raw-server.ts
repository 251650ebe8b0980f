import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { json } from 'node:stream/consumers';
import { Listening } from './listening.js';

/** Writes the bytes of one response to the socket. */
export type Respond = (socket: Socket, status: number, text: string) => void;

/** A correct API for things whose responses are written byte by byte, without the help of Node's server. */
export class RawServer extends Listening {
  private readonly things = new Map<string, object>();
  protected readonly server = createServer((request, response) => {
    const { socket, method, headers } = request;
    response.sendDate = false; // `response` itself is never used
    const list = JSON.stringify({ data: [...this.things.values()] });
    if (method !== 'POST') return wellFramed(socket, 200, list);
    void json(request).then((body) => {
      const key = String(headers['idempotency-key']);
      if (!this.things.has(key)) this.things.set(key, { id: key, ...(body as object) });
      this.respond(socket, 201, JSON.stringify(this.things.get(key)));
    });
  });

  private constructor(private readonly respond: Respond) {
    super();
  }

  static start(respond: Respond): Promise<RawServer> {
    const started = new RawServer(respond);
    started.server.on('connection', (socket) => socket.on('error', () => undefined));
    return started.listen();
  }
}

const wellFramed: Respond = (socket, status, text) => {
  socket.write(
    `HTTP/1.1 ${status} OK\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
};
