import { AppModule } from '../app.module.js';
import { run, startHttp } from './run-program.js';

/** The API process. */
await run((config) => startHttp(AppModule.forRoot(config), config, config.port));
