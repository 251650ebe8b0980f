import { testDatabaseUrl, workerDatabase } from './database.js';

// One database for each Jest worker, so that parallel suites do not see each other.
process.env.DATABASE_URL = testDatabaseUrl(await workerDatabase());
