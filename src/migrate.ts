import { loadConfig } from './config.js';
import { migrate } from './platform/migrate.js';

// `npm run migrate`: for set-ups that start API and worker by themselves; `npm start` does it on its own.
await migrate(loadConfig().databaseUrl);
