import { WorkerModule } from './app.module.js';
import { createHttpApp, serve } from './platform/http-process.js';
import { run } from './run.js';

/** The background process: the sweep, with health on a port of its own. */
await run(async (config) =>
  serve(await createHttpApp(WorkerModule.forRoot(config)), config.host, config.workerPort),
);
