import { WorkerModule } from '../worker.module.js';
import { run, startHttp } from './run-program.js';

/** The background process: the sweep, with health and metrics on a port of its own. */
await run((config) => startHttp(WorkerModule.forRoot(config), config, config.workerPort));
