import { runMigrations as migrateQueue } from 'graphile-worker';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { UnfitDatabase } from './database-check.js';
import { CLAIM_QUEUE, QUEUE_SCHEMA, whyQueueIsForeign } from './queue-owner.js';

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

/** Whoever else has waited for the lock may be at work now: this one must not go on. */
export class MigrationLockLost extends Error {
  constructor(cause: Error) {
    super(
      'The connection that holds the lock of the migrations was lost while they ran. Run them again: what was not committed is undone.',
      { cause },
    );
  }
}

/**
 * Brings the schema up to date. Safe when several processes start at once: a lock on a connection of
 * its own lets one at a time in, the others find nothing left to do. It is a transaction's, because a pooler in
 * transaction mode would leave a session's lock behind, and let two in.
 * @throws MigrationLockLost; UnfitDatabase if the database has another installation, before anything is changed.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const lock = new pg.Client({ connectionString: databaseUrl });
  const lost = new Promise<never>((_, reject) => {
    lock.on('error', (error) => reject(new MigrationLockLost(error)));
  });
  lost.catch(() => undefined); // also when nobody is waiting for it yet, or any more
  await lock.connect();
  try {
    await lock.query('BEGIN');
    await lock.query('SET LOCAL idle_in_transaction_session_timeout = 0'); // it waits for the others' work
    await lock.query('SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0');
    await lock.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    const foreign = await whyQueueIsForeign(lock);
    if (foreign !== undefined) throw new UnfitDatabase(foreign);
    const work = openWork(databaseUrl);
    try {
      await Promise.race([lost, work.run()]);
    } finally {
      await work.stop();
    }
  } finally {
    await lock.end();
  }
}

/** The migrations, on connections that can be ended in the middle of a statement. */
function openWork(databaseUrl: string): { run(): Promise<void>; stop(): Promise<void> } {
  const connections = new Set<pg.Client>();
  class Connection extends pg.Client {
    constructor(config?: string | pg.ClientConfig) {
      super(config);
      connections.add(this);
      this.once('end', () => connections.delete(this));
    }
  }
  // The server ends a statement whose client has gone, in place of running it to its end; in ms.
  const options = '-c client_connection_check_interval=500';
  const db = new DataSource({
    type: 'postgres',
    url: databaseUrl,
    migrations,
    installExtensions: false,
    extra: { max: 1, Client: Connection, options },
  });
  const pgPool = new pg.Pool({
    connectionString: databaseUrl,
    max: 1,
    Client: Connection,
    options,
  });
  const told = () => undefined; // by the statement that fails
  pgPool.on('error', told).on('connect', (connection) => connection.on('error', told));
  let stopped = false;
  let running: Promise<void> | undefined;
  const steps = [
    () => db.initialize(),
    () => db.runMigrations({ transaction: 'each' }),
    () => migrateQueue({ pgPool, schema: QUEUE_SCHEMA }), // the job queue keeps its own schema
    () => db.query(REUSE_TASK_IDS),
    () => db.query(CLAIM_QUEUE),
  ];
  const runSteps = async () => {
    for (const step of steps) if (!stopped) await step();
  };
  return {
    run: () => (running = runSteps()),
    async stop() {
      stopped = true;
      for (const connection of connections) void connection.end();
      await running?.catch(() => undefined);
      if (db.isInitialized) await db.destroy();
      await pgPool.end();
    },
  };
}
