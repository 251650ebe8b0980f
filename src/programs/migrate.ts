import { migrate } from '../database/migrate.js';
import { run } from './run-program.js';

// `npm run migrate`: for installations that start API and worker themselves; `npm start` also migrates.
await run(async ({ databaseUrl }) => {
  await migrate(databaseUrl, { log: console.error });
  console.log('The database is up to date.');
});
