import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { recordEvent } from '../../../src/events/events.js';
import { expectCleanBooks } from '../../support/books.js';
import { until } from '../../support/until.js';
import { openDatabase } from '../../support/open-database.js';
import type { WorkerProcess } from '../../support/worker-process.js';
import {
  addJob,
  buy,
  drained,
  effectsOf,
  jobs,
  letLocksRunOut,
  ONE_OF_EACH,
  skipPauses,
  startShop,
  type Shop,
} from '../../effects/effects.support.js';
import { findJob, receiptUnderWay } from './queue.support.js';

/** The queue under the effects: enqueued jobs are done despite poison, slow servers and lost locks. */
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
  const [old, young] = [await receiptUnderWay(shop), await receiptUnderWay(shop)];
  await letLocksRunOut(shop.db, [old.job]);
  // The rescued job runs again and fails, because the first run still holds the receipt's lease.
  await until(async () => (await findJob(shop, old.job))?.locked === false);
  expect(await findJob(shop, young.job)).toMatchObject({ attempts: 1, locked: true });
  answer();
  await until(async () => (await findJob(shop, young.job)) === undefined);
  await skipPauses(shop.db);
  await drained(shop.db);
  expect(shop.mail.of(young.to)).toHaveLength(1);
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

test('a job whose object is missing fails, whatever its kind', async () => {
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
