import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AnswerReader, NoAnswer, type Answer } from './answer.js';

/** The one host that this check talks to. */
export interface Target {
  tls: boolean;
  host: string;
  port: number;
  /** What the URL has before every path, without a slash at the end. */
  prefix: string;
  /** For the `Host` header. */
  authority: string;
}

export function targetOf(url: URL): Target {
  const tls = url.protocol === 'https:';
  return {
    tls,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port) || (tls ? 443 : 80),
    prefix: url.pathname.replace(/\/$/, ''),
    authority: url.host,
  };
}

/** One TCP or TLS connection with control over each byte that it sends and over how it ends. */
export class Connection {
  private constructor(
    /** What is written goes here. */
    private readonly stream: Socket,
    /** The TCP socket below TLS. Without TLS, the same as `stream`. */
    private readonly tcp: Socket,
    private readonly reader: AnswerReader,
  ) {}

  /** @throws NoAnswer if the host refuses or does not answer. */
  static async open(target: Target, timeoutMs: number): Promise<Connection> {
    // Half-open is allowed: one case stops to send and still waits for the response.
    const tcp = connectTcp({ host: target.host, port: target.port, allowHalfOpen: true });
    tcp.on('error', () => undefined); // below TLS; the stream above reports it, too
    tcp.setNoDelay(true); // a last byte must leave when it is written
    const stream = target.tls ? connectTls({ socket: tcp, servername: nameOf(target) }) : tcp;
    const reader = new AnswerReader(stream);
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      await once(stream, target.tls ? 'secureConnect' : 'connect', { signal });
    } catch (error) {
      tcp.destroy();
      const { code, message } = error as NodeJS.ErrnoException;
      throw new NoAnswer(`no connection to ${target.authority} (${code ?? message})`);
    }
    return new Connection(stream, tcp, reader);
  }

  /** Resolves when the operating system has taken the bytes. A connection that has ended is not an error here. */
  async write(bytes: Buffer): Promise<void> {
    if (!this.stream.writable) return;
    await new Promise<void>((resolve) => {
      this.stream.write(bytes, () => resolve());
    });
  }

  /** @throws NoAnswer */
  readAnswer(timeoutMs: number): Promise<Answer> {
    return this.reader.next(timeoutMs);
  }

  /** @throws NoAnswer */
  firstByte(timeoutMs: number): Promise<void> {
    return this.reader.firstByte(timeoutMs);
  }

  /** Sends FIN: nothing more comes from this side. */
  stopSending(): void {
    this.stream.end();
  }

  /** Closes at once; the peer sees FIN, or RST if it sends afterwards. */
  close(): void {
    this.stream.destroy();
    this.tcp.destroy();
  }

  /** Sends RST: the peer's next read fails with ECONNRESET. */
  reset(): void {
    this.tcp.resetAndDestroy();
    this.stream.destroy();
  }
}

/** An IP address is not a server name (RFC 6066 §3). */
function nameOf({ host }: Target): string | undefined {
  return /^[\d.]+$|:/.test(host) ? undefined : host;
}
