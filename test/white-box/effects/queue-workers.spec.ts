import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openQueuePool } from '../../../src/jobs/queue-pool.js';
import { unlockJobs } from '../../../src/jobs/queue-tables.js';
import { SESSION_LIMITS_MS } from '../../../src/database/session.js';
import { expectCleanBooks } from '../../support/books.js';
import { findPgbouncer, startPgbouncer } from '../../support/pgbouncer.js';
import { send } from '../../support/raw-client.js';
import { until } from '../../support/until.js';
import type { WorkerProcess } from '../../support/worker-process.js';
import {
  buy,
  buyAndLockTheOrder,
  drained,
  effectsOf,
  jobs,
  lockRows,
  ONE_OF_EACH,
  skipPauses,
  untilWaiting,
  startShop,
  type Shop,
} from '../../effects/effects.support.js';
import { findJob, receiptUnderWay } from './queue.support.js';

/** The workers of the queue: enqueued jobs are done even if a worker stops or loses its connections. */
let shop: Shop;
let worker: WorkerProcess;
beforeAll(async () => {
  shop = await startShop();
  worker = await shop.startWorkerProcess();
});
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

describe('a worker that gets SIGTERM in the middle of a job', () => {
  test('finishes it', async () => {
    const second = await onlyWorker({ STOP_GRACE_MS: '60000' });
    const answer = shop.mail.hold();
    const { to } = await receiptUnderWay(shop);
    const exit = second.kill('SIGTERM');
    await until(async () => /draining/.test(second.output()));
    answer();
    expect(await exit).toBe(0);
    expect(await jobs(shop.db)).toEqual([]);
    expect(shop.mail.of(to)).toHaveLength(1);
  });

  test('interrupts what can be interrupted, and leaves neither lock nor lease', async () => {
    const second = await onlyWorker({ STOP_GRACE_MS: '6000' });
    const answer = shop.mail.hold();
    const { to, job } = await receiptUnderWay(shop);
    expect(await second.kill('SIGTERM')).toBe(0);
    expect(await jobs(shop.db)).toMatchObject([{ id: job, attempts: 1, locked: false }]);
    answer();
    worker = await shop.startWorkerProcess();
    await skipPauses(shop.db);
    await drained(shop.db); // a lease would block for half a minute
    expect(await attempts(to)).toBe(2);
    expect(new Set(shop.mail.of(to).map(({ messageId }) => messageId)).size).toBe(1);
  });

  test('unlocks what cannot be interrupted, without counting an attempt', async () => {
    const second = await onlyWorker({ STOP_GRACE_MS: '2000' }); // much shorter than PostgreSQL's lock timeout
    const { purchase, letGo } = await buyAndLockTheOrder(shop);
    await untilWaiting(shop.db, 'FROM orders');
    const [job] = await jobs(shop.db, 'fulfill-order');
    await shop.mail.caught(purchase.email);
    expect(await second.kill('SIGTERM')).toBe(0);
    expect(await findJob(shop, job!.id)).toMatchObject({
      attempts: 0,
      locked: false,
      last_error: null,
    });
    await letGo();
    worker = await shop.startWorkerProcess();
    await drained(shop.db);
    expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
  });

  test('and whose job another worker takes over: the receipt is sent once', async () => {
    const answer = shop.mail.hold();
    const { to, job } = await receiptUnderWay(shop);
    await shop.whileWorkersSleep(async () => {
      const { rows } = await shop.db.query<{ locked_by: string }>(
        'SELECT locked_by FROM graphile_worker._private_jobs WHERE id = $1',
        [job],
      );
      await unlockJobs(shop.db, [rows[0]!.locked_by]);
      expect(await findJob(shop, job)).toMatchObject({ attempts: 0, locked: false });
    });
    await skipPauses(shop.db); // the next poll may be in 5 s, and the message is abandoned after 10 s
    // The next run finds the message in flight.
    await until(async () =>
      /another process holds the lease/.test((await findJob(shop, job))?.last_error ?? ''),
    );
    answer();
    await until(async () => (await findJob(shop, job)) === undefined);
    expect(shop.mail.of(to)).toHaveLength(1);
  });

  async function attempts(recipient: string): Promise<number> {
    const { rows } = await shop.db.query<{ epoch: number }>(
      'SELECT epoch FROM sent_emails WHERE recipient = $1',
      [recipient],
    );
    return rows[0]!.epoch;
  }

  /** Replaces the common worker. */
  async function onlyWorker(env?: Record<string, string>): Promise<WorkerProcess> {
    await worker.kill('SIGTERM');
    return shop.startWorkerProcess(env);
  }
});

describe('the queue’s connections', () => {
  test('have the session limits of all the others', async () => {
    await shop.db.query('CREATE TABLE seen (name text, setting bigint)');
    await shop.db.query(`
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO seen SELECT name, setting::bigint FROM pg_settings
        WHERE current_setting('application_name') = 'charge-once jobs'
          AND name IN (${Object.keys(SESSION_LIMITS_MS)
            .map((name) => `'${name}'`)
            .join(', ')});
        RETURN NEW; END $$`);
    await shop.db.query(
      `CREATE TRIGGER note BEFORE UPDATE ON graphile_worker._private_jobs FOR EACH ROW EXECUTE FUNCTION note()`,
    );
    await buy(shop);
    await drained(shop.db);
    await shop.db.query('DROP TRIGGER note ON graphile_worker._private_jobs');
    const { rows } = await shop.db.query<{ name: string; setting: string }>(
      'SELECT DISTINCT name, setting FROM seen',
    );
    expect(Object.fromEntries(rows.map(({ name, setting }) => [name, Number(setting)]))).toEqual(
      SESSION_LIMITS_MS,
    );
  });

  test('report passing errors as retryable, including a plan made stale by a schema change', async () => {
    const pool = openQueuePool(shop.databaseUrl, 1);
    await shop.db.query('CREATE TABLE planned (id int)');
    const read = async () => {
      const client = await pool.connect();
      try {
        return await client.query('SELECT * FROM planned WHERE id = $1', [1]);
      } finally {
        client.release();
      }
    };
    try {
      await read();
      await shop.db.query('ALTER TABLE planned ADD COLUMN more int');
      await expect(read()).rejects.toMatchObject({ code: '57P03' });
      expect((await read()).rows).toEqual([]); // planned again
      await shop.db.query('ALTER TABLE planned RENAME COLUMN id TO name');
      await expect(read()).rejects.toMatchObject({ code: '42703' }); // a real error stays one
    } finally {
      await pool.end();
    }
  });

  test('may be lost while a job is completed: the same process completes it later', async () => {
    const answer = shop.mail.hold();
    const { to, job } = await receiptUnderWay(shop);
    const letGo = await lockRows(
      shop.databaseUrl,
      'SELECT 1 FROM graphile_worker._private_jobs WHERE id = $1',
      [job],
    );
    answer();
    await untilWaiting(shop.db, 'delete from');
    await shop.db.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'charge-once jobs'`,
    );
    await letGo();
    await drained(shop.db);
    const purchase = await buy(shop);
    await drained(shop.db);
    expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
    expect(shop.mail.of(to)).toHaveLength(1);
    expect((await send(`${worker.url}/health/ready`)).status).toBe(200);
  });
});

const pgbouncer = findPgbouncer();
if (!pgbouncer) console.warn('PgBouncer is not installed: its test is skipped');
(pgbouncer ? test : test.skip)(
  'a worker behind PgBouncer in transaction mode does its jobs',
  async () => {
    await worker.kill('SIGTERM');
    const bouncer = await startPgbouncer(pgbouncer!, shop.databaseUrl);
    try {
      const second = await shop.startWorkerProcess({ DATABASE_URL: bouncer.url });
      for (let i = 0; i < 5; i++) {
        const purchase = await buy(shop);
        await drained(shop.db);
        expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
      }
      await second.kill('SIGTERM');
    } finally {
      await bouncer.stop();
    }
  },
);
