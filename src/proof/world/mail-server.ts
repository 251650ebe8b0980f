import { once } from 'node:events';
import { createServer } from 'node:net';
import { freePort } from '../../local/ports.js';
import type { Mail } from '../history.js';

/** An SMTP server (RFC 5321) that records each message as it accepts it. @returns its port */
export async function startMailServer(record: (mail: Mail) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    const say = (line: string) => socket.writable && socket.write(`${line}\r\n`);
    let text = '';
    let isBody = false;
    let to = '';
    say('220 proof');
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      for (;;) {
        const mark = isBody ? '\r\n.\r\n' : '\r\n';
        const end = text.indexOf(mark);
        if (end < 0) return;
        const part = text.slice(0, end);
        text = text.slice(end + mark.length);
        if (isBody) {
          isBody = false;
          const messageId = /^message-id:\s*(\S+)/im.exec(part)?.[1] ?? '';
          record({ messageId, to, charge: /ch_[0-9a-v]{32}/.exec(part)?.[0] ?? '' });
          say('250 taken');
          continue;
        }
        const [verb = ''] = part.toUpperCase().split(/[ :]/);
        if (verb === 'RCPT') to = /<([^>]*)>/.exec(part)?.[1] ?? '';
        isBody = verb === 'DATA';
        if (verb === 'QUIT') socket.end('221 bye\r\n');
        else say(isBody ? '354 go on' : '250 ok');
      }
    });
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return port;
}
