import { createServer, type Server } from 'node:http';
import { ExpressAdapter } from '@nestjs/platform-express';

/** Time limits for clients, in ms. */
export interface HttpLimits {
  /** The limit for a request's headers. Without it, a slow client could hold a connection forever at no cost. */
  headersTimeoutMs: number;
  /** The limit for the whole request including the body, not the response. 64 KiB take a second on a slow line. */
  requestTimeoutMs: number;
  /**
   * How long an idle connection stays open. Must exceed the idle timeout of a load balancer in front (often 60 s).
   * Otherwise the balancer sends a request into a connection that we are closing, and the client sees a reset.
   */
  keepAliveTimeoutMs: number;
}

export const DEFAULT_LIMITS: HttpLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 65_000,
};

/** Node's default, made explicit: keys, tokens and ids are short. The parser refuses larger headers (431). */
const MAX_HEADER_BYTES = 16 * 1024;
/** How often a closing server closes connections that have become idle. */
const IDLE_SWEEP_MS = 50;

/** Express with limits for slow clients. On close it waits for work in flight, not for idle connections. */
export class HttpAdapter extends ExpressAdapter {
  /** Awaited after the last connection has closed: work whose client has hung up. */
  untilIdle: () => Promise<void> = async () => {};

  constructor(private readonly limits: HttpLimits) {
    super();
  }

  override initHttpServer(): void {
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs } = this.limits;
    this.httpServer = createServer(
      {
        // Node requires headersTimeout to be at most requestTimeout.
        headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
        requestTimeout: requestTimeoutMs,
        keepAliveTimeout: keepAliveTimeoutMs,
        maxHeaderSize: MAX_HEADER_BYTES,
        // Node checks both timeouts only this often. Its default of 30 s would turn them into 40 s and 60 s.
        connectionsCheckingInterval: Math.min(1_000, Math.ceil(headersTimeoutMs / 4)),
      },
      this.getInstance(),
    );
    // `maxRequestsPerSocket` stays unlimited: above a limit, Node's own 503 is not `application/problem+json`.
  }

  /** Takes no new connections and waits for requests in flight. */
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
