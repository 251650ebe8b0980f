import type { Socket } from 'node:net';

/** A complete HTTP response. */
export interface Answer {
  status: number;
  /** In the order of the wire; names in lower case. */
  headers: [name: string, value: string][];
  text: string;
  /** The parsed body; `undefined` if it is not JSON. */
  body: unknown;
}

/** The connection ended, or time ran out, before there was a complete response. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** For `catch`: having no answer is a result, every other error is thrown. */
export function asNoAnswer(error: unknown): NoAnswer {
  if (error instanceof NoAnswer) return error;
  throw error;
}

/** All values of a header, joined as RFC 9110 §5.3 joins them; `undefined` if it is absent. */
export function headerOf(answer: Answer, name: string): string | undefined {
  const wanted = name.toLowerCase();
  const values = answer.headers.filter(([each]) => each === wanted).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(', ');
}

/**
 * Reads the responses of one socket, one after another. Node's own client hides what this check needs: requests that
 * are sent in parts, and what arrives after the client has stopped to send.
 */
export class AnswerReader {
  private received: Buffer = Buffer.alloc(0);
  private ended = false;
  private fault: string | undefined;
  private wake: () => void = () => undefined;

  constructor(socket: Socket) {
    socket.on('data', (data: Buffer) => {
      this.received = Buffer.concat([this.received, data]);
      this.wake();
    });
    const end = (reason?: string) => {
      this.ended = true;
      this.fault ??= reason;
      this.wake();
    };
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.on('end', () => end());
    socket.on('close', () => end());
  }

  /** @throws NoAnswer */
  async next(timeoutMs: number): Promise<Answer> {
    return this.until(timeoutMs, () => {
      const parsed = parseAnswer(this.received, this.ended);
      if (parsed) this.received = this.received.subarray(parsed.length);
      return parsed?.answer;
    });
  }

  /** Resolves with the first byte of a response. @throws NoAnswer */
  async firstByte(timeoutMs: number): Promise<void> {
    await this.until(timeoutMs, () => this.received.length > 0 || undefined);
  }

  private async until<T>(timeoutMs: number, look: () => T | undefined): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.ended)
        throw new NoAnswer(`the connection ended without a response (${this.fault ?? 'closed'})`);
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new NoAnswer(`no response within ${timeoutMs / 1000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** @returns the first response in these bytes and its length, once it is complete. Skips 1xx responses. */
function parseAnswer(
  bytes: Buffer,
  ended: boolean,
): { answer: Answer; length: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [first = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  if (!status) throw new NoAnswer(`not an HTTP response: ${JSON.stringify(first.slice(0, 60))}`);
  const start = headEnd + 4;
  if (status < 200) {
    const rest = parseAnswer(bytes.subarray(start), ended);
    return rest && { answer: rest.answer, length: start + rest.length };
  }
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const valueOf = (name: string) => headers.find(([each]) => each === name)?.[1];
  const content = /\bchunked\b/i.test(valueOf('transfer-encoding') ?? '')
    ? chunksOf(bytes, start)
    : plainContent(bytes, start, status, valueOf('content-length'), ended);
  if (!content) return undefined;
  const text = content.bytes.toString('utf8');
  return { answer: { status, headers, text, body: parsedJson(text) }, length: content.end };
}

interface Content {
  bytes: Buffer;
  /** Where the next response begins. */
  end: number;
}

function plainContent(
  bytes: Buffer,
  start: number,
  status: number,
  declared: string | undefined,
  ended: boolean,
): Content | undefined {
  if (status === 204 || status === 304) return { bytes: Buffer.alloc(0), end: start };
  if (declared === undefined)
    return ended ? { bytes: bytes.subarray(start), end: bytes.length } : undefined;
  const end = start + Number(declared);
  return bytes.length < end ? undefined : { bytes: bytes.subarray(start, end), end };
}

function chunksOf(bytes: Buffer, start: number): Content | undefined {
  const chunks: Buffer[] = [];
  for (let at = start; ;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size)) throw new NoAnswer('the response has a broken chunk');
    at = lineEnd + 2 + size + 2;
    if (bytes.length < at) return undefined;
    if (size === 0) return { bytes: Buffer.concat(chunks), end: at };
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
