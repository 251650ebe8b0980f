import { AppModule } from './app.module.js';
import { run, startHttp } from './run.js';

/** The API process. */
await run((config) => startHttp(AppModule.forRoot(config), config, config.port));
