import { randomInt } from 'node:crypto';
import { get } from 'node:http';
import { createServer } from 'node:net';

/** The error code if the port cannot be used (`EADDRINUSE`, `EACCES`, …); undefined if it can be used. */
export async function bindError(port: number, host: string): Promise<string | undefined> {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    server.listen({ port, host, exclusive: true }, () => server.close(() => done(undefined)));
  });
}

/**
 * A port that was free a moment ago. Another program may take it before the caller does, so the caller must be able
 * to ask for another.
 *
 * It is outside the range that systems use for outgoing connections. Otherwise such a connection could hold the port
 * while its owner restarts.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 20_000 + randomInt(10_000);
    if ((await bindError(port, host)) === undefined) return port;
  }
  throw new Error(`No free port from 20000 to 29999 on ${host}`);
}

/** Whether a GET returns 200 within a second. */
export async function answers200(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    // No agent: a keep-alive connection would delay the graceful stop of the server.
    const request = get(url, { agent: false, timeout: 1_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
