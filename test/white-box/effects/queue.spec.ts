import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { recordEvent } from '../../../src/events/events.js';
import { openQueuePool } from '../../../src/jobs/queue-pool.js';
import { unlockJobs } from '../../../src/jobs/queue-tables.js';
import { SESSION_LIMITS_MS } from '../../../src/database/session.js';
import { expectCleanBooks } from '../../support/books.js';
import { findPgbouncer, startPgbouncer } from '../../support/pgbouncer.js';
import { charge, send } from '../../support/raw-client.js';
import { until } from '../../support/until.js';
import { openDatabase } from '../../support/open-database.js';
import type { WorkerProcess } from '../../support/worker-process.js';
import {
  addJob,
  buy,
  buyAndLockTheOrder,
  drained,
  effectsOf,
  jobs,
  letLocksRunOut,
  lockRows,
  ONE_OF_EACH,
  skipPauses,
  untilWaiting,
  startShop,
  type Shop,
} from '../../effects/effects.support.js';

/** The queue under the effects: enqueued jobs are done despite poison, lost connections and restarts. */
let shop: Shop;
let worker: WorkerProcess;
beforeAll(async () => {
  shop = await startShop();
  worker = await shop.startWorkerProcess();
});
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

/** A job that always fails. */
const poison = () =>
  addJob(shop.db, 'fan-out-event', { account: 'acct_1', event: `evt_${randomUUID()}` });
const remove = (ids: string[]) =>
  shop.db.query('DELETE FROM graphile_worker._private_jobs WHERE id = ANY($1)', [ids]);

/** A charge whose receipt a worker has sent; the worker waits for the confirmation. */
async function receiptUnderWay(): Promise<{ to: string; job: string }> {
  const to = `${randomUUID()}@shop.test`;
  await charge(shop.apiUrl, randomUUID(), { receipt_email: to });
  await shop.mail.caught(to);
  const running = (await jobs(shop.db, 'send-receipt')).filter(({ locked }) => locked);
  return { to, job: running.at(-1)!.id };
}

test('an event exists if and only if what it reports was committed', async () => {
  const { db, close } = await openDatabase(shop.databaseUrl, 1);
  const [account] = await db.query<{ id: string }>('SELECT id FROM accounts LIMIT 1');
  const cause = randomUUID();
  const enqueueing = db.transaction(async (tx) => {
    const newEvent = {
      type: 'charge.failed',
      cause: { account_id: account!.id, id: cause },
      object: {},
    } as const;
    await recordEvent(tx, newEvent);
    await recordEvent(tx, newEvent); // recorded twice
    const recorded = await tx.query('SELECT id FROM events WHERE cause = $1', [cause]);
    expect(recorded).toHaveLength(1);
    throw new Error('and now something else fails');
  });
  await expect(enqueueing).rejects.toThrow('something else');
  expect(await db.query('SELECT 1 FROM events WHERE cause = $1', [cause])).toEqual([]);
  await close();
});

describe('a job that always fails', () => {
  test('blocks no other', async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, poison));
    const purchase = await buy(shop);
    await until(async () => (await effectsOf(shop, purchase)).shipments === 1);
    await shop.mail.caught(purchase.email);
    const left = (await jobs(shop.db)).filter(({ id }) => ids.includes(id));
    expect(left).toHaveLength(50);
    await remove(ids);
    await drained(shop.db);
    expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
  });

  test('is retried with exponential backoff and jitter', async () => {
    const add = async (attempts: number) => {
      const added = await Promise.all(Array.from({ length: 30 }, poison));
      await shop.db.query(
        'UPDATE graphile_worker._private_jobs SET attempts = $2 - 1 WHERE id = ANY($1)',
        [added, attempts],
      );
      return added;
    };
    const pauses = async (attempts: number) => {
      // Jobs that failed before would be retried by themselves.
      const ids = await shop.whileWorkersSleep(() => add(attempts));
      await until(async () =>
        (await jobs(shop.db)).every((job) => job.attempts === attempts && !job.locked),
      );
      const { rows } = await shop.db.query<{ seconds: number }>(
        `SELECT EXTRACT(EPOCH FROM run_at - updated_at)::float8 AS seconds
         FROM (SELECT id, run_at, $2::timestamptz AS updated_at FROM graphile_worker.jobs) AS jobs WHERE id = ANY($1)`,
        [ids, new Date()],
      );
      await remove(ids);
      return rows.map(({ seconds }) => seconds).sort((a, b) => a - b);
    };
    for (const attempts of [7, 9]) {
      const base = Math.exp(attempts);
      const seconds = await pauses(attempts);
      expect(seconds[0]).toBeGreaterThan(base * 0.98);
      expect(seconds.at(-1)).toBeLessThan(base * 1.51);
      expect(seconds.at(-1)! - seconds[0]!).toBeGreaterThan(base * 0.2); // one in 10^9 runs has closer times
    }
  });
});

test('the rescuer frees a job that is locked for too long, and no other of the same worker', async () => {
  const answer = shop.mail.hold();
  const [old, young] = [await receiptUnderWay(), await receiptUnderWay()];
  await letLocksRunOut(shop.db, [old.job]);
  await until(async () => (await find(old.job))?.locked === false); // the next run fails: its receipt is in flight
  expect(await find(young.job)).toMatchObject({ attempts: 1, locked: true });
  answer();
  await until(async () => (await find(young.job)) === undefined);
  await skipPauses(shop.db);
  await drained(shop.db);
  expect(shop.mail.of(young.to)).toHaveLength(1);
});

const find = async (job: string) => (await jobs(shop.db)).find(({ id }) => id === job);

describe('a worker that gets SIGTERM in the middle of a job', () => {
  test('finishes it', async () => {
    const second = await onlyWorker({ STOP_GRACE_MS: '60000' });
    const answer = shop.mail.hold();
    const { to } = await receiptUnderWay();
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
    const { to, job } = await receiptUnderWay();
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
    expect(await find(job!.id)).toMatchObject({ attempts: 0, locked: false, last_error: null });
    await letGo();
    worker = await shop.startWorkerProcess();
    await drained(shop.db);
    expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
  });

  test('may find its job taken by another worker: the receipt is sent once', async () => {
    const answer = shop.mail.hold();
    const { to, job } = await receiptUnderWay();
    await shop.whileWorkersSleep(async () => {
      const { rows } = await shop.db.query<{ locked_by: string }>(
        'SELECT locked_by FROM graphile_worker._private_jobs WHERE id = $1',
        [job],
      );
      await unlockJobs(shop.db, [rows[0]!.locked_by]);
      expect(await find(job)).toMatchObject({ attempts: 0, locked: false });
    });
    await skipPauses(shop.db); // the next poll may be 5 s away, and the message is given up after 10 s
    // The next run finds the message in flight.
    await until(async () =>
      /another process holds the lease/.test((await find(job))?.last_error ?? ''),
    );
    answer();
    await until(async () => (await find(job)) === undefined);
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
    const { to, job } = await receiptUnderWay();
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

test('a silent mail server delays only receipts', async () => {
  await worker.kill('SIGTERM');
  const alone = await shop.startWorkerProcess({ JOB_CONCURRENCY: '1' });
  const greet = shop.mail.mute();
  const purchases = await shop.whileWorkersSleep(async () => [
    await buy(shop),
    await buy(shop),
    await buy(shop),
  ]);
  for (const purchase of purchases) {
    await until(async () =>
      isDeepStrictEqual(await effectsOf(shop, purchase), { ...ONE_OF_EACH, mails: 0 }),
    );
  }
  const errors = (await jobs(shop.db)).map(({ last_error }) => last_error);
  expect(new Set(errors)).toEqual(new Set([null]));
  greet();
  await until(async () => {
    await skipPauses(shop.db);
    return (await jobs(shop.db)).length === 0;
  });
  for (const purchase of purchases) expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
  await alone.kill('SIGTERM');
  worker = await shop.startWorkerProcess();
});

test('a job about a missing object is never done, whatever its kind', async () => {
  const { rows } = await shop.db.query<{ kind: string }>(
    'SELECT identifier AS kind FROM graphile_worker._private_tasks',
  );
  const kinds = rows.map(({ kind }) => kind);
  expect([...kinds].sort()).toEqual([
    'advance-fulfillment',
    'cancel-sale',
    'fan-out-event',
    'fulfill-order',
    'send-receipt',
  ]);
  const objects = ['event', 'order', 'charge', 'fulfillment'];
  const payload = Object.fromEntries(objects.map((object) => [object, `${object}_absent`]));
  const ids = await Promise.all(
    kinds.map((kind) => addJob(shop.db, kind, { account: 'acct_absent', ...payload })),
  );
  await until(async () => {
    const failed = (await jobs(shop.db)).filter(({ last_error }) => last_error !== null);
    return isDeepStrictEqual(new Set(failed.map(({ id }) => id)), new Set(ids));
  });
  await remove(ids);
});

test('jobs can be added after more than 2^31 of them', async () => {
  await shop.db.query(`SELECT setval('graphile_worker.tasks_id_seq', 2147483647)`);
  const purchase = await buy(shop);
  await drained(shop.db);
  expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
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
