import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import {
  newMessageReader,
  newTransactionReader,
  READY_FOR_QUERY_BYTES,
  type Beat,
} from '../../src/proof/links/postgres-messages.js';

export type { Beat };

/**
 * `begin`: nothing was sent. `commit`: it never arrives. `answer`: it takes effect, but its answer is lost. A single
 * statement outside of BEGIN and COMMIT commits itself.
 */
export type Loss = 'begin' | 'commit' | 'answer';

/** A proxy between the API and PostgreSQL that cuts the connection once, where a test wants it. */
export interface DatabaseProxy {
  url: string;
  /**
   * Resolves when the connection was cut.
   * @param at the beat whose commit it is about, or the statement. Default: the next commit of either beat.
   */
  lose(loss: Loss, at?: Beat | RegExp): Promise<void>;
  /** Ends all connections and refuses new ones, until `up`. */
  down(): void;
  up(): void;
  stop(): Promise<void>;
}

interface Order {
  loss: Loss;
  at: Beat | RegExp | undefined;
  done: () => void;
}

export async function startDatabaseProxy(databaseUrl: string): Promise<DatabaseProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let refusing = false;
  let order: Order | undefined;

  const server = createServer((client) => {
    if (refusing) return void client.destroy();
    const upstream = connect(Number(target.port), target.hostname);
    const cut = () => {
      client.destroy();
      upstream.destroy();
    };
    let silent: Order | undefined;
    let tail = Buffer.alloc(0);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', cut).on('close', () => {
        sockets.delete(socket);
        cut();
      });
    }
    upstream.on('data', (data) => {
      if (!silent) return void client.write(data);
      tail = Buffer.concat([tail, data]).subarray(-READY_FOR_QUERY_BYTES);
      if (tail[0] !== 'Z'.charCodeAt(0)) return; // rows may arrive before the commit
      silent.done();
      cut();
    });
    const beatOf = newTransactionReader();
    const messages = newMessageReader((type, text, bytes) => {
      const { ending, beat } = beatOf(type, text);
      const isAt = ({ loss, at }: Order) => {
        if (at instanceof RegExp) return at.test(text);
        const there = loss === 'begin' ? /^(BEGIN|START TRANSACTION)/.test(text) : ending;
        return there && (at === undefined || at === beat);
      };
      if (!order || !isAt(order)) return upstream.write(bytes);
      const mine = order;
      order = undefined;
      if (mine.loss === 'answer') {
        silent = mine;
        return upstream.write(bytes);
      }
      cut();
      mine.done();
      return false;
    });
    client.on('data', messages);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  const endAll = () => sockets.forEach((socket) => socket.destroy());
  return {
    url: url.href,
    lose: (loss, at) => new Promise((done) => (order = { loss, at, done })),
    down() {
      refusing = true;
      endAll();
    },
    up() {
      refusing = false;
    },
    async stop() {
      endAll();
      server.close();
      await once(server, 'close');
    },
  };
}
