import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { loadConfig } from '../config.js';
import { commandEnvironment } from '../local/running.js';
import { databaseOptions } from '../database/database.js';

// For TypeORM's command line: `npm run typeorm -- migration:show`, `… query "SELECT …"`. It requires exactly one
// export. Apply migrations with `npm run migrate`, which runs one process at a time and also creates the job queue's
// schema.
const { databaseUrl } = loadConfig(await commandEnvironment());
export default new DataSource({ ...databaseOptions(databaseUrl, 1), migrations });
