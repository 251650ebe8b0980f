import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../local/ports.js';
import type { Mail } from '../history.js';

export interface ReceivedMail extends Mail {
  to: string;
  /** Headers and text. */
  raw: string;
}

export interface MailServer {
  port: number;
  server: Server;
  senders: Set<Socket>;
}

/** How a server behaves towards its senders. The tests change it. */
export interface Manners {
  /** The server waits for it before the greeting. */
  beforeGreeting?: () => Promise<void>;
  /** The server waits for it after it has recorded a message, before it confirms the message. */
  beforeConfirming?: () => Promise<void>;
  refuses?: (recipient: string) => boolean;
}

/** An SMTP server (RFC 5321) that records each message as it accepts it. */
export async function startMailServer(
  record: (mail: ReceivedMail) => void,
  manners: Manners = {},
): Promise<MailServer> {
  const senders = new Set<Socket>();
  const server = createServer((socket) => {
    senders.add(socket);
    socket.on('close', () => senders.delete(socket)).on('error', () => socket.destroy());
    serve(socket, record, manners);
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return { port, server, senders };
}

function serve(socket: Socket, record: (mail: ReceivedMail) => void, manners: Manners): void {
  const { beforeGreeting = proceed, beforeConfirming = proceed, refuses } = manners;
  const say = (line: string) => socket.writable && socket.write(`${line}\r\n`);
  let text = '';
  let isBody = false;
  let to = '';
  void beforeGreeting().then(() => say('220 mail'));
  const take = (part: string) => {
    if (isBody) {
      isBody = false;
      record(mailOf(part, to));
      return void beforeConfirming().then(() => say('250 taken'));
    }
    const [verb = ''] = part.toUpperCase().split(/[ :]/);
    if (verb === 'RCPT') to = /<([^>]*)>/.exec(part)?.[1] ?? '';
    isBody = verb === 'DATA';
    if (isBody) say('354 go on');
    else if (verb === 'QUIT') socket.end('221 bye\r\n');
    else say(verb === 'RCPT' && refuses?.(to) ? '550 no such person' : '250 ok');
  };
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    for (;;) {
      const mark = isBody ? '\r\n.\r\n' : '\r\n';
      const end = text.indexOf(mark);
      if (end < 0) return;
      const part = text.slice(0, end);
      text = text.slice(end + mark.length);
      take(part);
    }
  });
}

function mailOf(text: string, to: string): ReceivedMail {
  const messageId = /^message-id:\s*(\S+)/im.exec(text)?.[1] ?? '';
  const charge = /ch_[0-9a-v]{32}/.exec(text)?.[0] ?? '';
  return { messageId, to, charge, raw: text.replaceAll('\r\n..', '\r\n.') };
}

const proceed = () => Promise.resolve();
