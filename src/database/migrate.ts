import { setTimeout as delay } from 'node:timers/promises';
import { runMigrations as migrateQueue } from 'graphile-worker';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { migrations } from '../../migrations/index.js';
import { connectionTarget } from './connection-target.js';
import { processIdOf } from './connection.js';
import { UnfitDatabase } from './database-check.js';
import { sqlStateOf, withLockRetries, type LockRetryOptions } from './lock-retries.js';
import { CLAIM_QUEUE, QUEUE_SCHEMA, foreignQueueMessage } from './queue-owner.js';
import { UNLIMITED_SESSION_OPTIONS } from './session.js';

// Any constant will do, as long as every process of this application uses the same.
const MIGRATION_LOCK = 4_021_970;
/** How often a process that waits for the lock asks for it. Longer delays its start. */
const LOCK_POLL_MS = 100;

/** By this name a session of ours is found in pg_stat_activity, behind a pooler too. */
const APPLICATION_NAME = 'charge-once migrations';

/**
 * How long one attempt waits for a lock, in ms. Requests queue behind a waiting ALTER TABLE, so that a charge takes this
 * much longer at most.
 */
const LOCK_TIMEOUT_MS = 1_000;

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

/** A limit of the role ended a statement that needs more time. Only the operator can lift it. */
export class MigrationOutOfTime extends Error {
  constructor(limit: string, cause: unknown) {
    super(
      `A migration was ended by ${limit}: the pooler in front of the database ignores our start-up parameters. Run \`npm run migrate\` with the address of PostgreSQL itself in DATABASE_URL: it goes on where it stopped.`,
      { cause },
    );
  }
}

/** They are for requests, and our boot tells people to give them to the role. A table that has grown needs its time. */
const LIMITS = `('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'lock_timeout')`;

/** What each transaction of a migration begins with: a pooler may ignore start-up parameters. */
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED;
  SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ${LIMITS}`;

/**
 * For what runs outside a transaction (CREATE INDEX CONCURRENTLY): it may wait as long as it takes, because no request
 * queues behind it. Changes nothing behind a pooler: in transaction mode the next client would get a session without
 * limits. There the role's limits hold, and `outOfTime` recognises what they end.
 */
async function liftLimits(session: pg.ClientBase): Promise<void> {
  await session.query(
    `SELECT set_config(name, '0', false) FROM pg_settings
     WHERE name IN ${LIMITS} AND pg_backend_pid() = ${Number(processIdOf(session))}`,
  );
}

/** The limits that can end a statement, by the SQLSTATE that they end it with. */
const ENDED_BY: Partial<Record<string, string>> = {
  '57014': 'statement_timeout',
  '25P04': 'transaction_timeout',
};

/**
 * @param session another of the same role: without a limit there, a person has canceled the statement.
 * @returns what to throw instead of `error`, or `error` itself.
 */
async function outOfTime(session: pg.Client, error: unknown): Promise<unknown> {
  const limit = ENDED_BY[sqlStateOf(error) ?? ''];
  if (limit === undefined) return error;
  const { rows } = await session
    .query<{ value: string }>(`SELECT current_setting('${limit}') AS value`)
    .catch(() => ({ rows: [] }));
  const value = rows[0]?.value ?? '0';
  return value === '0' ? error : new MigrationOutOfTime(`${limit} = ${value}`, error);
}

/**
 * Brings the schema up to date. Safe when several processes start at once: a lock on a connection of
 * its own lets one at a time in, the others find nothing left to do. It is a transaction's, because a pooler in
 * transaction mode would leave a session's lock behind, and let two in.
 *
 * Safe while requests run: a lock that is not to be had within a second is tried for again later.
 * @param retrying how often, and what is told meanwhile.
 * @throws MigrationLockLost, MigrationBlocked, MigrationOutOfTime; UnfitDatabase if the database has another
 *   installation, before anything is changed.
 */
export async function migrate(databaseUrl: string, retrying: LockRetryOptions = {}): Promise<void> {
  const target = {
    ...connectionTarget(databaseUrl, UNLIMITED_SESSION_OPTIONS),
    application_name: APPLICATION_NAME,
  };
  const lock = new pg.Client(target);
  const watcher = new pg.Client(target).on('error', () => undefined); // nothing depends on what it sees
  const lost = new Promise<never>((_, reject) => {
    lock.on('error', (error) => reject(new MigrationLockLost(error)));
  });
  lost.catch(() => undefined); // also when nobody is waiting for it yet, or any more
  await lock.connect();
  try {
    await watcher.connect();
    await takeLock(lock);
    const foreign = await foreignQueueMessage(lock);
    if (foreign !== undefined) throw new UnfitDatabase(foreign);
    const work = openWork(databaseUrl, target, (step) =>
      withLockRetries(watcher, APPLICATION_NAME, step, retrying),
    );
    try {
      await Promise.race([lost, work.run()]);
    } catch (error) {
      throw await outOfTime(watcher, error);
    } finally {
      await work.stop();
    }
  } finally {
    await watcher.end();
    await lock.end();
  }
}

/**
 * Resolves when this connection has the lock. Asks again and again, because a statement that waits for the lock has a
 * snapshot: CREATE INDEX CONCURRENTLY of the holder would wait for it, and PostgreSQL would end one of the two (40P01).
 */
async function takeLock(lock: pg.Client): Promise<void> {
  for (;;) {
    await lock.query(BEGIN);
    const { rows } = await lock.query<{ taken: boolean }>(
      `SELECT pg_try_advisory_xact_lock(${MIGRATION_LOCK}) AS taken`,
    );
    if (rows[0]?.taken) return;
    await lock.query('ROLLBACK');
    await delay(LOCK_POLL_MS);
  }
}

/** The migrations, on connections that can be ended in the middle of a statement. */
function openWork(
  databaseUrl: string,
  target: pg.ClientConfig,
  retry: (step: () => Promise<unknown>) => Promise<void>,
): { run(): Promise<void>; stop(): Promise<void> } {
  const connections = new Set<pg.Client>();
  let stopped = false;
  class Connection extends pg.Client {
    constructor(config?: string | pg.ClientConfig) {
      super(config);
      connections.add(this);
      this.once('end', () => connections.delete(this));
    }

    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- `pg` has overloads
    override query(query: any, ...more: any[]): any {
      const begins = typeof query === 'string' && /^(BEGIN|START TRANSACTION);?$/i.test(query);
      return (super.query as (...args: unknown[]) => unknown).call(
        this,
        begins ? `${BEGIN}; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}` : query,
        ...more,
      );
    }
  }
  const options = { ...target, max: 1, Client: Connection, onConnect: liftLimits };
  const db = new DataSource({
    type: 'postgres',
    url: databaseUrl,
    migrations,
    installExtensions: false,
    extra: options,
  });
  const pgPool = new pg.Pool(options);
  const told = () => undefined; // by the statement that fails
  pgPool.on('error', told).on('connect', (connection) => connection.on('error', told));
  let running: Promise<void> | undefined;
  const steps = [
    () => db.runMigrations({ transaction: 'each' }),
    () => migrateQueue({ pgPool, schema: QUEUE_SCHEMA }), // the job queue keeps its own schema
    () => db.transaction((tx) => tx.query(REUSE_TASK_IDS)),
    () => db.query(CLAIM_QUEUE),
  ];
  const runSteps = async () => {
    await db.initialize();
    for (const step of steps) {
      await retry(async () => {
        if (!stopped) await step();
      });
    }
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
