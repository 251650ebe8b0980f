import { WorkerModule } from '../worker.module.js';
import { run, startHttp } from './run-program.js';

/** The worker process: sweep and jobs, with health and metrics on its own port. */
await run((config) => startHttp(WorkerModule.forRoot(config), config, config.workerPort));
