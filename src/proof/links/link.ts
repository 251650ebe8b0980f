import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../local/ports.js';
import { newMessageReader, newReadyReader, newTransactionReader } from './postgres-messages.js';
import { pairWith, type SocketPair } from './socket-pair.js';

/**
 * What a link does to its connections. The names follow Toxiproxy's where it has one.
 * - `latency`: each chunk takes 200 ms longer. `slicer`: chunks arrive in pieces of a few bytes.
 * - `refuse`: new connections are reset. `reset`: a connection that sends is reset. `hang`: half-open, bytes vanish.
 * - `lose-request`: closed before a byte is forwarded. `cut-request`: after half of it.
 * - `swallow-answer`: the request arrives, its answer is lost. `cut-answer`: half of the answer arrives.
 * - `twice`: the request is sent a second time immediately. `late`: a second time after three seconds.
 * - `pause`: nothing moves until the toxic ends, then everything arrives in order.
 * - `commit-lost`, `commit-answer` (PostgreSQL): the COMMIT, or its acknowledgement, is lost.
 */
export type Toxic =
  | 'latency'
  | 'slicer'
  | 'refuse'
  | 'reset'
  | 'hang'
  | 'lose-request'
  | 'cut-request'
  | 'swallow-answer'
  | 'cut-answer'
  | 'twice'
  | 'late'
  | 'pause'
  | 'commit-lost'
  | 'commit-answer';

/** `postgres`: only commits that reserve or settle a request can be lost. `all commits`: also those of jobs. */
export type Protocol = 'http' | 'smtp' | 'postgres' | 'postgres, all commits';

/** The end of a message in SMTP. Only the answer to a message is swallowed: without a greeting, none would be sent. */
const END_OF_MESSAGE = '\r\n.\r\n';

const HOST = '127.0.0.1';
const LATENCY_MS = 200;
const LATE_MS = 3_000;

/** One TCP connection between two programs, and all its successors. */
export class Link {
  /** What the link does now. Undefined: it only forwards. */
  private toxic: Toxic | undefined;
  private onHit: () => void = () => undefined;
  /** Ends a pause. */
  private resume: () => void = () => undefined;
  private resumed = Promise.resolve();
  private readonly sockets = new Set<Socket>();
  /** Called with the bytes of a request before it is sent a second time. */
  onCopy: (bytes: Buffer) => void = () => undefined;

  private constructor(
    readonly port: number,
    private readonly target: { host: string; port: number },
    private readonly protocol: Protocol,
  ) {}

  static async open(target: number, protocol: Protocol): Promise<Link> {
    const link = new Link(await freePort(), { host: HOST, port: target }, protocol);
    const server = createServer({ noDelay: true }, (client) => link.accept(client));
    server.listen(link.port, HOST);
    await once(server, 'listening');
    server.unref();
    return link;
  }

  /** @param onHit called each time the toxic has changed something */
  poison(toxic: Toxic, onHit: () => void): void {
    this.toxic = toxic;
    this.onHit = onHit;
    if (toxic === 'pause') this.resumed = new Promise((resolve) => (this.resume = resolve));
  }

  heal(): void {
    // A client of a half-open connection could wait forever.
    if (this.toxic === 'hang') for (const socket of this.sockets) socket.destroy();
    this.toxic = undefined;
    this.resume();
    this.onHit = () => undefined;
  }

  private hit(): void {
    this.onHit();
  }

  private accept(client: Socket): void {
    if (this.toxic === 'refuse') {
      this.hit();
      return void client.resetAndDestroy();
    }
    const pair = pairWith(client, this.target, this.sockets);
    const { upstream } = pair;
    const connection = new Connection(pair);
    const takeRequest = this.protocol.startsWith('postgres')
      ? this.postgresReader(connection)
      : (data: Buffer) => this.request(connection, data);
    client.on('data', takeRequest).on('end', () => upstream.end());
    upstream.on('data', (data) => this.answer(connection, data)).on('end', () => client.end());
  }

  private postgresReader(connection: Connection): (data: Buffer) => void {
    const transaction = newTransactionReader();
    return newMessageReader((type, text, bytes) => {
      const { ending, beat } = transaction(type, text);
      const commits = ending && (beat !== undefined || this.protocol.endsWith('all commits'));
      if (commits && this.toxic === 'commit-lost') {
        this.hit();
        return connection.pair.cut();
      }
      if (commits && this.toxic === 'commit-answer') connection.silent = true;
      this.request(connection, bytes);
    });
  }

  private request(connection: Connection, data: Buffer): void {
    const { client, upstream, cut } = connection.pair;
    const { toxic } = this;
    connection.end = (connection.end + data.toString('latin1')).slice(-END_OF_MESSAGE.length);
    switch (String(toxic)) {
      case 'reset':
        this.hit();
        client.resetAndDestroy();
        return void upstream.resetAndDestroy();
      case 'hang':
        return this.hit();
      case 'lose-request':
        this.hit();
        return cut();
      case 'cut-request':
        this.hit();
        return void upstream.write(data.subarray(0, data.length >> 1), cut);
      case 'twice':
      case 'late':
        if (connection.sent.length === 0)
          this.copyLater(connection, toxic === 'late' ? LATE_MS : 20);
        connection.sent = Buffer.concat([connection.sent, data]);
        break;
      default: // the others change the answer, or how bytes are forwarded
    }
    this.forward(connection.up, upstream, data);
  }

  private answer(connection: Connection, data: Buffer): void {
    const { client, cut } = connection.pair;
    if (connection.silent) return this.swallowCommit(connection, data);
    switch (String(this.toxic)) {
      case 'hang':
        return this.hit();
      case 'swallow-answer':
        if (this.protocol === 'smtp' && connection.end !== END_OF_MESSAGE) break;
        this.hit();
        return cut();
      case 'cut-answer':
        this.hit();
        return void client.write(data.subarray(0, data.length >> 1), cut);
      default: // the others change the request, or how bytes are forwarded
    }
    connection.sent = Buffer.alloc(0);
    this.forward(connection.down, client, data);
  }

  private swallowCommit({ isReady, pair }: Connection, data: Buffer): void {
    if (!isReady(data)) return;
    this.hit();
    pair.cut();
  }

  private copyLater(connection: Connection, ms: number): void {
    const whole = () => connection.sent;
    let bytes: Buffer = Buffer.alloc(0);
    setTimeout(() => (bytes = whole()), 15); // a request arrives within that time; its answer resets `sent`
    setTimeout(() => {
      if (bytes.length === 0) return;
      this.onCopy(bytes);
      const copy = connect(this.target);
      copy.on('error', () => copy.destroy()).on('data', () => copy.end());
      copy.write(bytes, () => this.hit());
    }, ms);
  }

  /** Keeps the order of the chunks, even if the toxic ends between two of them. */
  private forward(lane: Lane, to: Socket, data: Buffer): void {
    const { toxic, resumed } = this;
    const isSlow = toxic === 'latency' || toxic === 'slicer' || toxic === 'pause';
    if (!isSlow && lane.waiting === 0) return void (to.writable && to.write(data));
    lane.waiting++;
    lane.last = lane.last.then(async () => {
      if (toxic === 'pause') await resumed;
      if (toxic === 'latency') await delay(LATENCY_MS);
      const size = toxic === 'slicer' ? Math.max(7, data.length >> 5) : data.length;
      for (let from = 0; from < data.length; from += size) {
        if (toxic === 'slicer') await delay(1);
        if (to.writable) to.write(data.subarray(from, from + size));
      }
      lane.waiting--;
    });
    if (isSlow) this.hit();
  }
}

interface Lane {
  last: Promise<void>;
  waiting: number;
}

class Connection {
  /** The bytes since the last answer. */
  sent = Buffer.alloc(0);
  /** The last bytes of the request. */
  end = '';
  /** The answer to a COMMIT is being lost. */
  silent = false;
  readonly isReady = newReadyReader();
  readonly up: Lane = { last: Promise.resolve(), waiting: 0 };
  readonly down: Lane = { last: Promise.resolve(), waiting: 0 };

  constructor(readonly pair: SocketPair) {}
}
