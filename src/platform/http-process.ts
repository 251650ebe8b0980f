import { ConsoleLogger, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { nameRequest } from './request-id.js';

/** Makes the application with what Nest would do differently by default. */
export async function createHttpApp(module: DynamicModule): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(module, {
    bodyParser: false, // a guard reads the body, after the route and the API key are known
    abortOnError: false,
    logger: new ConsoleLogger({ json: true, logLevels: ['log', 'warn', 'error', 'fatal'] }),
  });
  app.set('etag', false); // an ETag here is a version of ours, not a hash of bytes
  app.set('query parser', 'simple');
  app.disable('x-powered-by');
  // Before the router, which gives up on a path that it cannot decode.
  app.use(nameRequest);
  // `Expect` other than 100-continue: Node would answer 417 by itself, bare. RFC 9110, section 10.1.1 lets us go on.
  const server = app.getHttpServer();
  server.on('checkExpectation', (...exchange) => server.emit('request', ...exchange));
  return app;
}

/** Listens, and stops in good order on a signal or when the supervisor has gone. */
export async function serve(
  app: NestExpressApplication,
  host: string,
  port: number,
): Promise<void> {
  app.enableShutdownHooks();
  // Under `npm start` there is a channel to the supervisor; when it closes, the supervisor was killed.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  await app.listen(port, host);
}
