import { setTimeout as delay } from 'node:timers/promises';
import { Logger, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Express } from 'express';
import { Draining } from './draining.js';
import { DEFAULT_LIMITS, HttpAdapter, type HttpLimits } from './http-adapter.js';
import { JsonLogger } from '../log/json-logger.js';
import { assignRequestId } from './request-id.js';
import { RequestWatch } from './request-watch.js';
import { securityHeaders } from './security-headers.js';
import { followTrace } from '../log/trace.js';

/** Creates the application, with settings that differ from Nest's defaults. */
export async function createHttpApp(
  module: DynamicModule,
  limits: HttpLimits = DEFAULT_LIMITS,
): Promise<NestExpressApplication> {
  const adapter = new HttpAdapter(limits);
  const app = await NestFactory.create<NestExpressApplication>(module, adapter, {
    bodyParser: false, // a guard reads the body after routing and authentication
    abortOnError: false,
    bufferLogs: true,
    logger: false, // ours is set below; Nest's would print error messages if the start fails
  });
  app.useLogger(app.get(JsonLogger));
  const draining = app.get(Draining);
  adapter.untilIdle = () => draining.untilIdle();
  app.set('etag', false); // only objects that support If-Match have one, and set it themselves
  // Express turns each 200 into a 304 that `If-None-Match: *` or an ETag of ours matches. `sendVersioned` does this.
  Object.defineProperty(adapter.getInstance<Express>().request, 'fresh', { value: false });
  app.set('query parser', 'simple');
  app.disable('x-powered-by');
  // Before the router, which stops at a path that it cannot decode.
  app.use(assignRequestId);
  app.use(followTrace);
  // For an `Expect` other than 100-continue Node itself would send a bare 417. RFC 9110, section 10.1.1 allows us to
  // ignore it.
  const server = app.getHttpServer();
  server.on('checkExpectation', (...exchange) => server.emit('request', ...exchange));
  const watch = app.get(RequestWatch);
  app.use(watch.watch.bind(watch));
  app.use(securityHeaders);
  return app;
}

/**
 * Listens, and stops cleanly on a signal or when the supervisor has died. First "not ready", then no new connections;
 * waiting duplicates get a 409; work in flight finishes; exit code 0. What exceeds the grace period is left to
 * another process: its row exists, and its lease runs out. Proof: test/operation/graceful-stop.spec.ts.
 */
export async function serve(
  app: NestExpressApplication,
  host: string,
  port: number,
  { drainDelayMs, graceMs }: { drainDelayMs: number; graceMs: number },
): Promise<void> {
  const log = new Logger('Process');
  const stop = async (signal: string) => {
    log.log(`${signal}: draining`);
    app.get(Draining).begin();
    await delay(drainDelayMs);
    const finished = app.close().then(() => 'finished' as const);
    const end = await Promise.race([finished, delay(graceMs)]);
    if (end === 'finished') log.log('stopped; all work in flight has finished');
    else log.warn(`stopped after ${graceMs} ms; another process will finish the work in flight`);
  };
  let stopping: Promise<void> | undefined;
  const stopOnce = (signal: string) => {
    stopping ??= stop(signal).then(
      () => process.exit(0),
      (error: unknown) => {
        log.fatal('could not stop cleanly', error);
        process.exit(1);
      },
    );
  };
  // `once`: a second signal has no handler and ends the process immediately.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopOnce(signal));
  // Under `npm start` there is a channel to the supervisor. It closes if the supervisor is killed.
  process.once('disconnect', () => stopOnce('the supervisor has ended'));
  await app.listen(port, host);
}
