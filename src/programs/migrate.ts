import { migrate } from '../database/migrate.js';
import { run } from './run-program.js';

// `npm run migrate`: for set-ups that start API and worker themselves; `npm start` migrates on its own.
await run(async ({ databaseUrl }) => {
  await migrate(databaseUrl, { log: console.error });
  console.log('The database is up to date.');
});
