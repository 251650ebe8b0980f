import { runMigrations as migrateQueue } from 'graphile-worker';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';

// Any constant will do, as long as every process of this application uses the same.
const MIGRATION_LOCK = 4_021_970;

/**
 * Brings the schema up to date. Safe when several processes start at once: a session lock on a
 * connection of its own lets one at a time in, the others find nothing left to do.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const lock = new pg.Client({ connectionString: databaseUrl });
  await lock.connect();
  try {
    await lock.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const db = await new DataSource({
      type: 'postgres',
      url: databaseUrl,
      migrations,
      installExtensions: false,
      extra: { max: 1 },
    }).initialize();
    try {
      await db.runMigrations({ transaction: 'each' });
      await migrateQueue({ connectionString: databaseUrl }); // the job queue keeps its own schema
    } finally {
      await db.destroy();
    }
  } finally {
    await lock.end();
  }
}
