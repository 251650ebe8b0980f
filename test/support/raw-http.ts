import { once } from 'node:events';
import { connect } from 'node:net';

export interface RawAnswer {
  status: number;
  /** Names in lower case. Of a repeated header, the last. */
  headers: Record<string, string>;
  text: string;
}

/**
 * Sends exactly these bytes and reads until the server closes the connection, for requests that a correct client
 * refuses to send. The request should contain `Connection: close`.
 */
export async function sendRaw(port: number, ...chunks: (string | Buffer)[]): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const received: Buffer[] = [];
  socket.on('data', (data: Buffer) => received.push(data));
  for (const chunk of chunks) socket.write(chunk);
  await once(socket, 'close');
  return parse(Buffer.concat(received).toString('latin1'));
}

/** The head of a request, including the blank line. */
export function head(line: string, headers: Record<string, string | string[]>): string {
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().map((each) => `${name}: ${each}`),
  );
  return [`${line} HTTP/1.1`, 'Host: test', 'Connection: close', ...lines, '', ''].join('\r\n');
}

function parse(answer: string): RawAnswer {
  const end = answer.indexOf('\r\n\r\n');
  const [first = '', ...lines] = answer.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(first.split(' ')[1]), headers, text: answer.slice(end + 4) };
}
