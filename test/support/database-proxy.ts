import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import {
  newMessageReader,
  newTransactionReader,
  newReadyReader,
  type Beat,
} from '../../src/proof/links/postgres-messages.js';
import { pairWith } from '../../src/proof/links/socket-pair.js';

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
    const to = { host: target.hostname, port: Number(target.port) };
    const { upstream, cut } = pairWith(client, to, sockets);
    let silent: Order | undefined;
    const isReady = newReadyReader();
    upstream.on('data', (data) => {
      if (!silent) return void client.write(data);
      if (!isReady(data)) return;
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
