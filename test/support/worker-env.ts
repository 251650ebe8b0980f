import { testDatabaseUrl, workerDatabase } from './database.js';

// One database for each Jest worker, so that suites that run side by side never see each other.
process.env.DATABASE_URL = testDatabaseUrl(await workerDatabase());
