import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { NoAnswer, type Answer } from './answer.js';
import { Incoming } from './incoming.js';
import { readAnswer } from './read-answer.js';

/** The one host that this check talks to. */
export interface Target {
  tls: boolean;
  host: string;
  port: number;
  /** The path of the URL, which is put before every path, without a slash at the end. */
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
    /** The stream for all bytes that are sent. */
    private readonly stream: Socket,
    /** The TCP socket below TLS. Without TLS, the same as `stream`. */
    private readonly tcp: Socket,
    private readonly incoming: Incoming,
    private readonly timeoutMs: number,
  ) {}

  /** `timeoutMs` is for each step: to connect, to send, to read a response. @throws NoAnswer */
  static async open(target: Target, timeoutMs: number): Promise<Connection> {
    // Half-open is allowed: one case stops to send and still waits for the response.
    const tcp = connectTcp({ host: target.host, port: target.port, allowHalfOpen: true });
    tcp.on('error', () => undefined); // below TLS; the stream above also reports it
    tcp.setNoDelay(true); // no Nagle's delay: some cases write the last byte separately
    const stream = target.tls ? connectTls({ socket: tcp, servername: nameOf(target) }) : tcp;
    const incoming = new Incoming(stream);
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      await once(stream, target.tls ? 'secureConnect' : 'connect', { signal });
    } catch (error) {
      tcp.destroy();
      const { code, message, name } = error as NodeJS.ErrnoException;
      const why = name === 'AbortError' ? `within ${timeoutMs / 1000} s` : `(${code ?? message})`;
      throw new NoAnswer(`no connection to ${target.authority} ${why}`);
    }
    return new Connection(stream, tcp, incoming, timeoutMs);
  }

  /**
   * Resolves when the operating system has taken the bytes. A connection that has ended is not an error here.
   * @throws NoAnswer if the peer does not read
   */
  async write(bytes: Buffer): Promise<void> {
    if (!this.stream.writable) return;
    await new Promise<void>((resolve, reject) => {
      const seconds = this.timeoutMs / 1000;
      const timer = setTimeout(
        () => reject(new NoAnswer(`the request was not read within ${seconds} s`)),
        this.timeoutMs,
      );
      this.stream.write(bytes, () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** @throws NoAnswer */
  readAnswer(): Promise<Answer> {
    return this.incoming.within(this.timeoutMs, () => readAnswer(this.incoming));
  }

  /** @throws NoAnswer */
  firstByte(): Promise<void> {
    return this.incoming.within(this.timeoutMs, () => this.incoming.firstByte());
  }

  /** Sends FIN: this side sends nothing more. */
  stopSending(): void {
    this.stream.end();
  }

  /** Closes immediately; the peer sees FIN, or RST if it sends afterwards. */
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

/** The server name for TLS (SNI). An IP address is not allowed there (RFC 6066 §3). */
function nameOf({ host }: Target): string | undefined {
  return /^[\d.]+$|:/.test(host) ? undefined : host;
}
