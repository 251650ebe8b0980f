import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { until } from './until.js';

/** A message that the server has accepted. It counts as delivered, whatever its sender knows. */
export interface CaughtMail {
  messageId: string;
  to: string;
  /** Headers and text. */
  raw: string;
}

/** An SMTP server that keeps every message (RFC 5321, as much of it as a sender needs). */
export interface MailCatcher {
  /** For SMTP_URL. */
  url: string;
  mails: CaughtMail[];
  /** From now on messages are accepted, but the confirmation waits. The returned function sends it. */
  hold(): () => void;
  /** From now on the greeting waits. The returned function greets all that have waited. */
  mute(): () => void;
  /** From now on refuses messages to this recipient; undefined refuses none. */
  refuse(recipient: string | undefined): void;
  /** Resolves when `count` messages to this recipient were accepted. */
  caught(to: string, count?: number): Promise<void>;
  /** How many senders are connected. */
  senders(): number;
  /** The messages to one recipient. */
  of(to: string): CaughtMail[];
  stop(): Promise<void>;
}

export async function startMailCatcher(): Promise<MailCatcher> {
  const mails: CaughtMail[] = [];
  const sockets = new Set<Socket>();
  let open = Promise.resolve();
  let greeting = Promise.resolve();
  let refused: string | undefined;

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    const say = (line: string) => socket.write(`${line}\r\n`);
    let text = '';
    let body = false;
    let to = '';
    void greeting.then(() => say('220 catcher'));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      for (;;) {
        const end = text.indexOf(body ? '\r\n.\r\n' : '\r\n');
        if (end < 0) return;
        const part = text.slice(0, end);
        text = text.slice(end + (body ? 5 : 2));
        if (body) {
          body = false;
          const messageId = /^message-id:\s*(\S+)/im.exec(part)?.[1] ?? '';
          mails.push({ messageId, to, raw: part.replaceAll('\r\n..', '\r\n.') });
          void open.then(() => say('250 taken'));
          continue;
        }
        const [verb = ''] = part.toUpperCase().split(/[ :]/);
        if (verb === 'RCPT') to = /<([^>]*)>/.exec(part)?.[1] ?? '';
        body = verb === 'DATA';
        if (body) say('354 go on');
        else if (verb === 'QUIT') socket.end('221 bye\r\n');
        else say(verb === 'RCPT' && to === refused ? '550 no such person' : '250 ok');
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const of = (recipient: string) => mails.filter(({ to }) => to === recipient);

  return {
    url: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mails,
    of,
    hold() {
      let release = () => {};
      open = new Promise((resolve) => (release = resolve));
      return release;
    },
    mute() {
      let release = () => {};
      greeting = new Promise((resolve) => (release = resolve));
      return release;
    },
    refuse(recipient) {
      refused = recipient;
    },
    senders: () => sockets.size,
    caught: (recipient, count = 1) => until(async () => of(recipient).length >= count),
    async stop() {
      sockets.forEach((socket) => socket.destroy());
      server.close();
      await once(server, 'close');
    },
  };
}
