import { connect, type Socket } from 'node:net';

/** A request as it is sent. */
export interface WireRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string;
}

/** When this client itself breaks the exchange. */
export interface Break {
  /** Destroys the socket as soon as the request has been written. */
  hangUp?: 'after-request';
  /** Destroys the socket when this much of the response has arrived. */
  afterBytes?: number;
}

export type Exchange =
  | { kind: 'response'; status: number; headers: Map<string, string>; body: string }
  | { kind: 'refused' }
  | { kind: 'lost'; reason: string };

/**
 * Sends one request over its own socket and reads the response. No retries, no pool: a library or a browser would
 * retry by itself, and the run would show something else.
 */
export function exchange(
  base: string,
  request: WireRequest,
  { hangUp, afterBytes }: Break = {},
  timeoutMs = 30_000,
): Promise<Exchange> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replaceAll(/[[\]]/g, ''), port: Number(port) });
    const chunks: Buffer[] = [];
    let connected = false;
    let size = 0;
    const end = (result: Exchange) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end({ kind: 'lost', reason: 'no answer in time' }), timeoutMs);
    socket.on('connect', () => {
      connected = true;
      send(
        socket,
        bytesOf(base, request),
        hangUp === 'after-request' ? () => end(HUNG_UP) : undefined,
      );
    });
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (afterBytes !== undefined && size >= afterBytes)
        end({ kind: 'lost', reason: 'cut in mid-response' });
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end(connected ? { kind: 'lost', reason: error.code ?? 'error' } : { kind: 'refused' }),
    );
    socket.on('end', () => end(responseIn(Buffer.concat(chunks))));
    socket.on('close', () => end(responseIn(Buffer.concat(chunks))));
  });
}

const HUNG_UP: Exchange = { kind: 'lost', reason: 'the client hung up' };

function send(socket: Socket, bytes: string, then: (() => void) | undefined): void {
  socket.write(bytes, () => then?.());
}

/** The exact bytes of a request. */
export function bytesOf(base: string, { method, path, headers, body = '' }: WireRequest): string {
  const all = {
    Host: new URL(base).host,
    ...headers,
    ...(method === 'GET' ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }),
    Connection: 'close',
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

function responseIn(bytes: Buffer): Exchange {
  if (bytes.length === 0)
    return { kind: 'lost', reason: 'the connection closed without an answer' };
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return { kind: 'lost', reason: 'the connection closed in mid-response' };
  const [first = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const body = bytes.subarray(headEnd + 4);
  const length = headers.get('content-length');
  if (length !== undefined && body.length < Number(length))
    return { kind: 'lost', reason: 'the connection closed in mid-response' };
  return { kind: 'response', status: Number(first.split(' ')[1]), headers, body: body.toString() };
}

/** The request in `bytes` as a curl command, with `$LAB_KEY` in place of the masked API key. */
export function curlOfBytes(bytes: string): string {
  const [head = '', body] = bytes.split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const [method = '', path = ''] = first.split(' ');
  const all = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const host = all.find(([name]) => /^host$/i.test(name))?.[1] ?? '';
  const headers = all
    .filter(([name]) => /^(authorization|content-type|idempotency-key|prefer)$/i.test(name))
    .map(([name, value]) => [name, /^authorization$/i.test(name) ? 'Bearer $LAB_KEY' : value]);
  return curlOf(`http://${host}`, {
    ...{ method, path, headers: Object.fromEntries(headers) as Record<string, string> },
    ...(body && { body }),
  });
}

/** The request as a curl command. */
export function curlOf(base: string, { method, path, headers, body }: WireRequest): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = [
    `curl -i${method === 'POST' || method === 'GET' ? '' : ` -X ${method}`} ${base}${path}`,
    ...Object.entries(headers)
      .filter(([name]) => !/^lab-run$/i.test(name))
      .map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    ...(body === undefined ? [] : [`-d ${quoted(body)}`]),
  ];
  return parts.join(' \\\n  ');
}
