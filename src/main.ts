import { AppModule } from './app.module.js';
import { createHttpApp, serve } from './platform/http-process.js';
import { run } from './run.js';

/** The API process. */
await run(async (config) =>
  serve(await createHttpApp(AppModule.forRoot(config)), config.host, config.port),
);
