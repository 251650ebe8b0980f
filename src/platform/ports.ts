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
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer();
  await new Promise<void>((done, fail) => server.once('error', fail).listen(0, host, done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}
