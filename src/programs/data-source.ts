import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { loadConfig } from '../config.js';
import { commandEnvironment } from '../local/running.js';
import { databaseOptions } from '../database/database.js';

// For TypeORM's own command line: `npm run typeorm -- migration:show`, `… query "SELECT …"`. It wants one export.
// To apply migrations use `npm run migrate`: it lets one process in at a time, and brings the job queue's schema, too.
const { databaseUrl } = loadConfig(await commandEnvironment());
export default new DataSource({ ...databaseOptions(databaseUrl, 1), migrations });
