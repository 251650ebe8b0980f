import { Logger, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Draining } from './draining.js';
import { DEFAULT_LIMITS, HttpAdapter, type HttpLimits } from './http-adapter.js';
import { JsonLogger } from '../log/json-logger.js';
import { nameRequest } from './request-id.js';
import { RequestWatch } from './request-watch.js';
import { securityHeaders } from './security-headers.js';
import { followTrace } from '../log/trace.js';

/** Makes the application with what Nest would do differently by default. */
export async function createHttpApp(
  module: DynamicModule,
  limits: HttpLimits = DEFAULT_LIMITS,
): Promise<NestExpressApplication> {
  const adapter = new HttpAdapter(limits);
  const app = await NestFactory.create<NestExpressApplication>(module, adapter, {
    bodyParser: false, // a guard reads the body, after the route and the API key are known
    abortOnError: false,
    bufferLogs: true,
    logger: false, // until ours is there: a start that fails would be told by Nest's, errors with their texts
  });
  app.useLogger(app.get(JsonLogger, { strict: false }));
  const draining = app.get(Draining, { strict: false });
  adapter.untilIdle = () => draining.untilIdle();
  app.set('etag', false); // only what can be asked for by If-Match has one, and makes it itself
  app.set('query parser', 'simple');
  app.disable('x-powered-by');
  // Before the router, which gives up on a path that it cannot decode.
  app.use(nameRequest);
  app.use(followTrace);
  // `Expect` other than 100-continue: Node would answer 417 by itself, bare. RFC 9110, section 10.1.1 lets us go on.
  const server = app.getHttpServer();
  server.on('checkExpectation', (...exchange) => server.emit('request', ...exchange));
  const watch = app.get(RequestWatch, { strict: false });
  app.use(watch.watch.bind(watch));
  app.use(securityHeaders);
  return app;
}

export interface Stopping {
  drainDelayMs: number;
  graceMs: number;
}

/**
 * Listens, and stops in good order on a signal or when the supervisor has gone: not ready, then no new connections,
 * waiters sent away, what is in flight finished, exit code 0. What outlasts the grace period is left to another
 * process: its row is there, and its lease runs out. Proof: test/operation/graceful-stop.spec.ts.
 */
export async function serve(
  app: NestExpressApplication,
  host: string,
  port: number,
  { drainDelayMs, graceMs }: Stopping = { drainDelayMs: 0, graceMs: 9_000 },
): Promise<void> {
  const log = new Logger('Process');
  const stop = async (signal: string) => {
    log.log(`${signal}: draining`);
    app.get(Draining, { strict: false }).begin();
    await sleep(drainDelayMs);
    const finished = app.close().then(() => 'finished' as const);
    const end = await Promise.race([finished, sleep(graceMs)]);
    if (end === 'finished') log.log('stopped, nothing is left unfinished');
    else log.warn(`stopped after ${graceMs} ms; what was in flight is left to another process`);
  };
  let stopping: Promise<void> | undefined;
  const stopOnce = (signal: string) => {
    stopping ??= stop(signal).then(
      () => process.exit(0),
      (error: unknown) => {
        log.fatal('could not stop in good order', error);
        process.exit(1);
      },
    );
  };
  // `once`: a second signal finds no listener and ends the process at once.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopOnce(signal));
  // Under `npm start` there is a channel to the supervisor; when it closes, the supervisor was killed.
  process.once('disconnect', () => stopOnce('the supervisor has gone'));
  await app.listen(port, host);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
