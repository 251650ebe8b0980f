import { AppModule } from '../app.module.js';
import { run, startHttp } from './run-program.js';

await run((config) => startHttp(AppModule.forRoot(config), config, config.port));
