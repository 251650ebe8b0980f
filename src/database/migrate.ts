import { setTimeout as delay } from 'node:timers/promises';
import { runMigrations as migrateQueue } from 'graphile-worker';
import pg from 'pg';
import { DataSource, type MigrationInterface } from 'typeorm';
import { createIndex } from '../../migrations/concurrent-index.js';
import { migrations as OURS } from '../../migrations/index.js';
import { sqlStateOf } from '../idempotency/errors.js';
import { connectionTarget } from './connection-target.js';
import { processIdOf } from './connection.js';
import { appliedMigrations, refuseOldSchema, UnfitDatabase } from './database-check.js';
import { APPLICATION_NAME, withLockRetries, type LockRetryOptions } from './lock-retries.js';
import { CLAIM_QUEUE, QUEUE_SCHEMA, foreignQueueMessage } from './queue-owner.js';
import { UNLIMITED_SESSION_OPTIONS } from './session.js';

// Any constant works, if every process of this application uses the same one.
const MIGRATION_LOCK = 4_021_970;
/** The pause before a waiting process asks for the lock again. Longer delays its start. */
const LOCK_POLL_MS = 100;

/**
 * How long one attempt waits for a lock, in ms. Requests queue behind a waiting ALTER TABLE, so this is the longest delay
 * of a request.
 */
const LOCK_TIMEOUT_MS = 1_000;

/**
 * The queue uses one value of this integer sequence for each job, not for each kind of job (graphile/worker#619). After
 * 2^31 jobs it could add none. So the sequence cycles, above the ids of the kinds that exist.
 */
const REUSE_TASK_IDS = `DO $$ BEGIN
  PERFORM setval('graphile_worker.tasks_id_seq', 10000) FROM graphile_worker.tasks_id_seq WHERE last_value < 10000;
  ALTER SEQUENCE graphile_worker.tasks_id_seq MINVALUE 10000 START 10000 CYCLE;
END $$`;

/**
 * The library looks for locked jobs in all jobs. This finds them, and dead letters, for src/jobs/queue-tables.ts and the
 * metrics: with a million jobs waiting, the metrics took longer than their 2 s.
 */
const UNAVAILABLE_JOBS = {
  table: `${QUEUE_SCHEMA}._private_jobs`,
  name: 'unavailable_jobs',
  definition: '(locked_at) WHERE NOT is_available',
};

type MigrationClasses = (new () => MigrationInterface)[];

export interface MigrateOptions extends LockRetryOptions {
  migrations?: MigrationClasses;
}

/** Another process may now hold the lock, so this process must not continue. */
export class MigrationLockLost extends Error {
  constructor(cause: Error) {
    super(
      'The connection that holds the lock of the migrations was lost while they ran. Run them again: PostgreSQL has rolled back what was not committed.',
      { cause },
    );
  }
}

/** A limit of the role ended a statement that needs more time. Only the operator can change that limit. */
export class MigrationOutOfTime extends Error {
  constructor(limit: string, cause: unknown) {
    super(
      `A migration was ended by ${limit}: the pooler in front of the database ignores our start-up parameters. Run \`npm run migrate\` with the address of PostgreSQL itself in DATABASE_URL: it continues where it stopped.`,
      { cause },
    );
  }
}

/** Limits for requests; our boot check asks operators to set them on the role. A migration of a large table needs longer. */
const LIMITS = `('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'lock_timeout')`;

/** How each transaction of a migration begins, because a pooler may ignore start-up parameters. */
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED;
  SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ${LIMITS}`;

/**
 * For statements outside a transaction (CREATE INDEX CONCURRENTLY). They may take any time, because no request queues
 * behind them. Behind a pooler this changes nothing: in transaction mode the next client would get a session without
 * limits. There the limits of the role apply, and `outOfTime` recognises the statements that they end.
 */
async function liftLimits(session: pg.ClientBase): Promise<void> {
  await session.query(
    `SELECT set_config(name, '0', false) FROM pg_settings
     WHERE name IN ${LIMITS} AND pg_backend_pid() = ${Number(processIdOf(session))}`,
  );
}

/** SQLSTATE: the limit that ended the statement. */
const ENDED_BY: Partial<Record<string, string>> = {
  '57014': 'statement_timeout',
  '25P04': 'transaction_timeout',
};

/**
 * @param session another session of the same role. If it has no such limit, a person canceled the statement.
 * @returns the error to throw: MigrationOutOfTime, or `error` itself.
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
 * Brings the schema up to date. Safe when several processes start in parallel: one at a time holds a lock, on another
 * connection; the others then find nothing left to do. The lock belongs to a transaction: a pooler in transaction mode
 * would keep a lock of the session, and let a second process in.
 *
 * Safe while requests run: an attempt to get a table lock ends after a second, and is repeated later.
 * @param options how often to retry, and the log. `migrations` are ours by default; tests add more.
 * @throws MigrationLockLost, MigrationBlocked, MigrationOutOfTime; UnfitDatabase if the database has another
 *   installation or an old schema, before anything is changed.
 */
export async function migrate(
  databaseUrl: string,
  { migrations = OURS, ...lockRetries }: MigrateOptions = {},
): Promise<void> {
  const target = {
    ...connectionTarget(databaseUrl, UNLIMITED_SESSION_OPTIONS),
    application_name: APPLICATION_NAME,
  };
  const lock = new pg.Client(target);
  const watcher = new pg.Client(target).on('error', () => undefined); // it only feeds the log
  const lost = new Promise<never>((_, reject) => {
    lock.on('error', (error) => reject(new MigrationLockLost(error)));
  });
  lost.catch(() => undefined); // it may reject before or after the race below
  await lock.connect();
  try {
    await watcher.connect();
    await takeLock(lock);
    const foreign = await foreignQueueMessage(lock);
    if (foreign !== undefined) throw new UnfitDatabase(foreign);
    const work = openWork(databaseUrl, target, migrations, (step) =>
      withLockRetries(watcher, step, lockRetries),
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
 * Resolves when this connection has the lock. Polls, because a statement that waits for the lock has a snapshot: CREATE
 * INDEX CONCURRENTLY of the holder would wait for that, and PostgreSQL would end one of the two (40P01).
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

/** The migrations, on connections that `stop` can close in the middle of a statement. */
function openWork(
  databaseUrl: string,
  target: pg.ClientConfig,
  migrations: MigrationClasses,
  retry: (step: () => Promise<unknown>) => Promise<void>,
): { run(): Promise<void>; stop(): Promise<void> } {
  const { Client, connections } = migrationClients();
  const extra = { ...target, max: 1, Client, onConnect: liftLimits };
  const db = new DataSource({
    type: 'postgres',
    url: databaseUrl,
    migrations,
    installExtensions: false,
    extra,
  });
  const pgPool = new pg.Pool(extra);
  const ignore = () => undefined; // the statement that fails reports it
  pgPool.on('error', ignore).on('connect', (connection) => connection.on('error', ignore));
  let stopped = false;
  let running: Promise<void> | undefined;
  const runSteps = async () => {
    await db.initialize();
    for (const step of stepsOf(db, pgPool)) {
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

function stepsOf(db: DataSource, pgPool: pg.Pool): (() => Promise<unknown>)[] {
  return [
    () =>
      db.transaction(async (tx) =>
        refuseOldSchema(await appliedMigrations((sql) => tx.query(sql))),
      ),
    () => db.runMigrations({ transaction: 'each' }),
    () => migrateQueue({ pgPool, schema: QUEUE_SCHEMA }), // the job queue has its own schema
    () => db.transaction((tx) => tx.query(REUSE_TASK_IDS)),
    () => createIndex(db, UNAVAILABLE_JOBS),
    () => db.query(CLAIM_QUEUE),
  ];
}

/** A class of connections that begin each transaction with `BEGIN`, and the set of its open connections. */
function migrationClients() {
  const connections = new Set<pg.Client>();
  class Client extends pg.Client {
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
  return { Client, connections };
}
