import { runMigrations as migrateQueue } from 'graphile-worker';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';

// Any constant will do, as long as every process of this application uses the same.
const MIGRATION_LOCK = 4_021_970;

/**
 * The queue takes a value of this integer sequence for each job that is added, not for each kind of job: after two
 * thousand million jobs nothing could be added, and no charge settled (graphile/worker#619). It may begin again, above
 * the ids of the few kinds that there are.
 */
const REUSE_TASK_IDS = `DO $$ BEGIN
  PERFORM setval('graphile_worker.tasks_id_seq', 10000) FROM graphile_worker.tasks_id_seq WHERE last_value < 10000;
  ALTER SEQUENCE graphile_worker.tasks_id_seq MINVALUE 10000 START 10000 CYCLE;
END $$`;

/**
 * Brings the schema up to date. Safe when several processes start at once: a lock on a connection of
 * its own lets one at a time in, the others find nothing left to do. It is a transaction's, because a pooler in
 * transaction mode would leave a session's lock behind, and let two in.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const lock = new pg.Client({ connectionString: databaseUrl });
  await lock.connect();
  try {
    await lock.query('BEGIN');
    await lock.query('SET LOCAL idle_in_transaction_session_timeout = 0'); // it waits for the others' work
    await lock.query('SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0');
    await lock.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
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
      await db.query(REUSE_TASK_IDS);
    } finally {
      await db.destroy();
    }
  } finally {
    await lock.end();
  }
}
