import type { Target } from './connection.js';

/** One request, ready to be sent. */
export interface Request {
  method: string;
  path: string;
  /** In order; a name may repeat. Values go out as latin1. */
  headers: [name: string, value: string][];
  body?: Buffer;
  /** Sends the body with `Transfer-Encoding: chunked`. */
  chunked?: boolean;
  /** Keeps the connection open for another request. */
  keepAlive?: boolean;
}

export interface RequestBytes {
  head: Buffer;
  body: Buffer;
}

export function bytesOf(request: Request, target: Target): RequestBytes {
  const { method, path, headers, chunked = false, keepAlive = false } = request;
  const content = request.body ?? Buffer.alloc(0);
  const lines = [
    `${method} ${target.prefix}${path} HTTP/1.1`,
    `Host: ${target.authority}`,
    `Connection: ${keepAlive ? 'keep-alive' : 'close'}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...framing(request, content),
  ];
  const head = Buffer.from([...lines, '', ''].join('\r\n'), 'latin1');
  return { head, body: chunked ? inChunks(content) : content };
}

function framing({ body, chunked, method }: Request, content: Buffer): string[] {
  if (chunked) return ['Transfer-Encoding: chunked'];
  const hasBody = body !== undefined || method !== 'GET';
  return hasBody ? [`Content-Length: ${content.length}`] : [];
}

/** Two chunks and the last one: a server that reads only the first chunk sees another body. */
function inChunks(content: Buffer): Buffer {
  const middle = Math.floor(content.length / 2);
  const parts = [content.subarray(0, middle), content.subarray(middle)];
  const chunks = parts
    .filter((part) => part.length > 0)
    .flatMap((part) => [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
  return Buffer.concat([...chunks, Buffer.from('0\r\n\r\n')]);
}
