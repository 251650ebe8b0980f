import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Which transaction is committed, recognised by the statements since its BEGIN. */
export type Beat = 'reserve' | 'settle';

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

/** The server's last message after a statement outside of a transaction, or after a COMMIT: it has been executed. */
const READY_FOR_QUERY_BYTES = 6;

/** Follows the transactions of one connection: in which beat it is, and whether this message commits it. */
function newTransactionReader(): (
  type: string,
  text: string,
) => { ending: boolean; beat: Beat | undefined } {
  let beat: Beat | undefined;
  let inTransaction = false;
  return (type, text) => {
    if (!inTransaction) beat = undefined;
    if (type === 'Q' && /^(BEGIN|START TRANSACTION)/.test(text)) inTransaction = true;
    if (text.includes('INSERT INTO idempotency_records')) beat = 'reserve';
    if (text.includes("SET state = 'completed'")) beat ??= 'settle';
    // Parse has no effect; Bind is followed by the execution.
    const alone = type === 'B' && !inTransaction && beat !== undefined;
    const commits = type === 'Q' && text.startsWith('COMMIT');
    if (type === 'Q' && /^(COMMIT|ROLLBACK)/.test(text)) inTransaction = false;
    return { ending: alone || commits, beat };
  };
}

/**
 * Splits the frontend's stream into messages: one byte of type, then four of length, which include themselves. The
 * first message has no type. Source: "Message Formats" in the PostgreSQL manual.
 */
function newMessageReader(
  take: (type: string, text: string, bytes: Buffer) => unknown,
): (data: Buffer) => void {
  let pending = Buffer.alloc(0);
  let started = false;
  const prepared = new Map<string, string>();
  /** The text of a query, of a parsed statement, or of a statement that is executed again by its name. */
  const textOf = (type: string, bytes: Buffer): string => {
    const [first = '', second = ''] = bytes.toString('utf8', 5).split('\0', 2);
    if (type === 'P') prepared.set(first, second);
    return { Q: first, P: second, B: prepared.get(second) }[type] ?? '';
  };
  return (data) => {
    pending = Buffer.concat([pending, data]);
    for (;;) {
      const header = started ? 5 : 4;
      if (pending.length < header) return;
      const length = pending.readInt32BE(header - 4) + header - 4;
      if (pending.length < length) return;
      const bytes = pending.subarray(0, length);
      pending = pending.subarray(length);
      const type = started ? String.fromCharCode(bytes[0]!) : '';
      const text = started ? textOf(type, bytes) : '';
      started = true;
      take(type, text, bytes);
    }
  };
}
