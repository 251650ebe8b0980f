import { createServer, type Server } from 'node:http';
import { ExpressAdapter } from '@nestjs/platform-express';

/** What a client may take of the server's time, in ms. */
export interface HttpLimits {
  /** For a request's head. A client that drips it in would otherwise hold a connection for ever, at no cost. */
  headersTimeoutMs: number;
  /** For the whole request, body included; not for the answer. 64 KiB take a second on a bad line. */
  requestTimeoutMs: number;
  /**
   * How long an idle connection is kept. Longer than the idle time of a load balancer in front (60 s, often), or it
   * sends a request into a connection that we are closing, and the client sees a reset.
   */
  keepAliveTimeoutMs: number;
}

export const DEFAULT_LIMITS: HttpLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 65_000,
};

/** Node's default, stated: keys, tokens and ids are short. What is larger is refused by the parser (431). */
const MAX_HEADER_BYTES = 16 * 1024;
/** A closed server lets go of connections that became idle since then. */
const IDLE_SWEEP_MS = 50;

/** Express with limits for slow clients, and a close that waits for work and not for idle connections. */
export class HttpAdapter extends ExpressAdapter {
  /** Awaited after the last connection: work whose client has hung up. */
  untilIdle: () => Promise<void> = async () => {};

  constructor(private readonly limits: HttpLimits) {
    super();
  }

  override initHttpServer(): void {
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs } = this.limits;
    this.httpServer = createServer(
      {
        // Node wants the whole to last no less than a part of it.
        headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
        requestTimeout: requestTimeoutMs,
        keepAliveTimeout: keepAliveTimeoutMs,
        maxHeaderSize: MAX_HEADER_BYTES,
        // Node looks at the two timeouts only so often; its default of 30 s would make them 40 and 60.
        connectionsCheckingInterval: Math.min(1_000, Math.ceil(headersTimeoutMs / 4)),
      },
      this.getInstance(),
    );
    // Not limited: `maxRequestsPerSocket`, whose bare 503 is no answer of ours.
  }

  /** Takes no new connection, lets requests come to their end. */
  override async close(): Promise<void> {
    const server: Server = this.httpServer;
    const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
    try {
      if (server.listening) await new Promise((resolve) => server.close(resolve));
      await this.untilIdle();
    } finally {
      clearInterval(sweep);
    }
  }
}
