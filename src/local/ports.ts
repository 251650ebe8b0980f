import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Why nothing can listen there (`EADDRINUSE`, `EACCES`, …); undefined when something can. */
export async function whyNotBindable(port: number, host: string): Promise<string | undefined> {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    server.listen({ port, host, exclusive: true }, () => server.close(() => done(undefined)));
  });
}

/**
 * A port that was free a moment ago. Somebody else may take it before it is used: whoever binds it
 * has to be ready to ask for another.
 *
 * From a range that systems do not give to outgoing connections: one of those could otherwise sit on
 * the port in the moment in which its owner is started again.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 20_000 + randomInt(10_000);
    if ((await whyNotBindable(port, host)) === undefined) return port;
  }
  throw new Error(`No free port from 20000 to 29999 on ${host}`);
}
