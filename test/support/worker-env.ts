import { testDatabaseUrl } from './database.js';

// One database for each Jest worker, so that suites that run side by side never see each other.
process.env.DATABASE_URL = testDatabaseUrl(`worker_${process.env.JEST_WORKER_ID}`);
