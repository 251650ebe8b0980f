import type { Socket } from 'node:net';
import { NoAnswer } from './answer.js';

/** An endless response must not fill the memory. */
const MAX_RESPONSE_MB = 10;
export const MAX_RESPONSE_BYTES = MAX_RESPONSE_MB * 2 ** 20;

const LF = 0x0a;

/** What one socket receives, in the order of the wire. Its cost is linear, however small the packets are. */
export class Incoming {
  private readonly pieces: Buffer[] = [];
  /** Bytes since the current response began. */
  private received = 0;
  /** Why no more bytes arrive. */
  private end?: { message: (received: number) => string; isClean: boolean };
  private wake: () => void = () => undefined;

  constructor(private readonly socket: Socket) {
    socket.on('data', (piece: Buffer) => {
      this.received += piece.length;
      this.pieces.push(piece);
      if (this.received > MAX_RESPONSE_BYTES) this.refuse(TOO_LARGE);
      this.wake();
    });
    socket.on('error', ({ code, message }: NodeJS.ErrnoException) => this.ended(code ?? message));
    socket.on('end', () => this.ended('closed'));
    socket.on('close', () => this.ended('closed'));
  }

  /** Calls `read`, which reads one response, and limits its waiting to this time. @throws NoAnswer */
  async within<T>(timeoutMs: number, read: () => Promise<T>): Promise<T> {
    this.received = this.pieces.reduce((sum, { length }) => sum + length, 0);
    const timer = setTimeout(() => this.stop(timeoutText(timeoutMs)), timeoutMs);
    try {
      return await read();
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the first byte has arrived. @throws NoAnswer */
  async firstByte(): Promise<void> {
    this.pieces.unshift(await this.piece());
  }

  /** A line without its CR LF, as latin1. @throws NoAnswer, with `tooLong` if it has more bytes than `limit`. */
  async line(limit: number, tooLong: string): Promise<string> {
    const parts: Buffer[] = [];
    for (let length = 0; length <= limit;) {
      const piece = await this.piece();
      const end = piece.indexOf(LF) + 1;
      const part = end > 0 ? piece.subarray(0, end) : piece;
      length += part.length;
      parts.push(part);
      if (end === 0 || length > limit) continue;
      if (end < piece.length) this.pieces.unshift(piece.subarray(end));
      const line = Buffer.concat(parts).toString('latin1');
      if (!line.endsWith('\r\n'))
        throw new NoAnswer('a line of the response does not end with CR LF');
      return line.slice(0, -2);
    }
    throw new NoAnswer(tooLong);
  }

  /** @throws NoAnswer */
  async bytes(count: number): Promise<Buffer> {
    if (count > MAX_RESPONSE_BYTES) throw new NoAnswer(TOO_LARGE);
    const parts: Buffer[] = [];
    for (let left = count; left > 0;) {
      const piece = await this.piece();
      if (piece.length > left) this.pieces.unshift(piece.subarray(left));
      parts.push(piece.subarray(0, left));
      left -= piece.length;
    }
    return Buffer.concat(parts);
  }

  /** All bytes until the peer closes in the regular way. @throws NoAnswer */
  async untilClosed(): Promise<Buffer> {
    const parts: Buffer[] = [];
    while (this.pieces.length > 0 || !this.end?.isClean) parts.push(await this.piece(true));
    return Buffer.concat(parts);
  }

  /** The next bytes, as many as there are. With `mayEnd`, none if the peer has closed in the regular way. */
  private async piece(mayEnd = false): Promise<Buffer> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece) return piece;
      if (mayEnd && this.end?.isClean) return Buffer.alloc(0);
      if (this.end) throw new NoAnswer(this.end.message(this.received));
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  private ended(how: string): void {
    this.stop((received) => {
      const place = received > 0 ? 'inside the response' : 'without a response';
      return `the connection ended ${place} (${how})`;
    }, how === 'closed');
  }

  /** Stops reading: the socket's buffers stay full, and the peer has to stop. */
  private refuse(message: string): void {
    this.stop(() => message);
    this.socket.destroy();
  }

  /** Only the first reason is kept. */
  private stop(message: (received: number) => string, isClean = false): void {
    this.end ??= { message, isClean };
    this.wake();
  }
}

const TOO_LARGE = `the response is larger than ${MAX_RESPONSE_MB} MB`;

function timeoutText(timeoutMs: number) {
  const limit = `within ${timeoutMs / 1000} s`;
  return (received: number) =>
    received > 0
      ? `the response was not complete ${limit} (${received} bytes came)`
      : `no response ${limit}`;
}
