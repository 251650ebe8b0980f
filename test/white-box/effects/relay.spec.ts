import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { expectCleanBooks } from '../../support/books.js';
import { charge } from '../../support/raw-client.js';
import type { Running } from '../../support/service.js';
import { until } from '../../support/until.js';
import {
  buy,
  drained,
  effectsOf,
  holdWriters,
  jobs,
  untilNoneWaits,
  ONE_OF_EACH,
  untilWaiting,
  startShop,
  type Shop,
} from '../../effects/effects.support.js';

/** The outbox: each event becomes the jobs that follow from it, once, whatever happens to the workers that relay it. */
let shop: Shop;
let workers: Running[] = [];
beforeAll(async () => {
  shop = await startShop();
  // Done jobs are deleted; this keeps what was enqueued.
  await shop.db.query('CREATE TABLE enqueued (task_id int, payload json)');
  await shop.db.query(`
    CREATE FUNCTION note_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO enqueued VALUES (NEW.task_id, NEW.payload); RETURN NULL; END $$`);
  await shop.db.query(
    `CREATE TRIGGER note_job AFTER INSERT ON graphile_worker._private_jobs FOR EACH ROW EXECUTE FUNCTION note_job()`,
  );
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
  workers = [];
});
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

async function startWorker(): Promise<void> {
  workers.push(await shop.startWorker());
}

interface EventRow {
  id: string;
  account_id: string;
  relayed: boolean;
  created_at: Date;
}

/** The event of a charge. */
async function eventOf(cause: string): Promise<EventRow> {
  const { rows } = await shop.db.query<EventRow>(
    `SELECT id, account_id, relayed_at IS NOT NULL AS relayed, created_at FROM events
     WHERE cause = $1 AND type LIKE 'charge.%'`,
    [cause],
  );
  return rows[0]!;
}

const isRelayed = async (cause: string) => (await eventOf(cause)).relayed;

/** The kinds of all jobs enqueued for an event. */
async function enqueuedFor(event: string): Promise<string[]> {
  const { rows } = await shop.db.query<{ task: string }>(
    `SELECT identifier AS task FROM enqueued JOIN graphile_worker._private_tasks AS task ON task.id = task_id
     WHERE payload ->> 'event' = $1 ORDER BY task`,
    [event],
  );
  return rows.map(({ task }) => task);
}

/** A charge with a receipt. @returns its id, which is the cause of its event. */
async function pay(email = `${randomUUID()}@shop.test`): Promise<string> {
  const paid = await charge(shop.apiUrl, randomUUID(), { receipt_email: email });
  if (paid.status !== 201) throw new Error(`not paid: ${paid.text}`);
  return paid.body.id;
}

test('the transaction that settles a charge neither enqueues nor notifies', async () => {
  const heard: string[] = [];
  const listener = new pg.Client({ connectionString: shop.databaseUrl });
  listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
  await listener.connect();
  await listener.query('LISTEN "jobs:insert"');
  const purchase = await buy(shop);
  const paid = await pay();
  const { rows } = await shop.db.query('SELECT 1 FROM graphile_worker._private_jobs');
  expect(rows).toEqual([]);
  await shop.db.query(`SELECT pg_notify('jobs:insert', 'the end')`);
  await until(async () => heard.includes('the end'));
  expect(heard).toEqual(['the end']);
  await listener.end();
  expect(await isRelayed(paid)).toBe(false);
  await startWorker();
  await drained(shop.db);
  expect(await effectsOf(shop, purchase)).toEqual(ONE_OF_EACH);
  expect(await enqueuedFor((await eventOf(paid)).id)).toEqual(['send-receipt']);
});

test('an account whose relay waits for a lock does not block others', async () => {
  const { account_id } = await eventOf(await pay());
  const held = `NEW.account_id = '${account_id}' AND NEW.relayed_at IS NOT NULL`;
  const letGo = await holdWriters(shop, 'events', 'write', held);
  await startWorker();
  const waits = await pay();
  await untilWaiting(shop.db, 'UPDATE events');
  const other = await charge(shop.apiUrl, randomUUID(), {}, { apiKey: 'sk_test_globex' });
  await until(() => isRelayed(other.body.id));
  expect(await isRelayed(waits)).toBe(false);
  await letGo();
  await drained(shop.db);
});

describe('two relays in parallel', () => {
  test('relay an event once: the second skips it and relays the next ones', async () => {
    const held = `NEW.type = 'charge.succeeded' AND NEW.relayed_at IS NOT NULL`;
    const letGo = await holdWriters(shop, 'events', 'write', held);
    await Promise.all([startWorker(), startWorker()]);
    const paid = await pay();
    await untilWaiting(shop.db, 'UPDATE events');
    const declined = await charge(shop.apiUrl, randomUUID(), {
      payment_method: 'pm_card_visa_chargeDeclined',
    });
    await until(() => isRelayed(declined.body.charge));
    expect(await isRelayed(paid)).toBe(false);
    await letGo();
    await drained(shop.db);
    expect(await enqueuedFor((await eventOf(paid)).id)).toEqual(['send-receipt']);
  });
});

test('a relay killed between marking and commit has relayed nothing; the next one does it', async () => {
  const worker = await shop.startWorkerProcess();
  const letGo = await holdWriters(shop, 'events', 'commit', 'NEW.relayed_at IS NOT NULL');
  const paid = await pay();
  await untilWaiting(shop.db, 'COMMIT'); // marked and enqueued, in its transaction
  await worker.kill();
  await untilNoneWaits(shop.db, 'COMMIT'); // the server has noticed
  await letGo();
  const { id, relayed } = await eventOf(paid);
  expect([relayed, await enqueuedFor(id), await jobs(shop.db)]).toEqual([false, [], []]);
  await startWorker();
  await drained(shop.db);
  expect(await enqueuedFor(id)).toEqual(['send-receipt']);
});

test('an event that commits after a newer one was relayed is relayed as well', async () => {
  await startWorker();
  const email = `${randomUUID()}@shop.test`;
  const letGo = await holdWriters(
    shop,
    'events',
    'commit',
    `NEW.relayed_at IS NULL AND NEW.data #>> '{object,receipt_email}' = '${email}'`,
  );
  const older = pay(email);
  await untilWaiting(shop.db, 'INSERT INTO events');
  const newerCause = await pay();
  await until(() => isRelayed(newerCause));
  const newer = await eventOf(newerCause);
  await letGo();
  const late = await eventOf(await older);
  expect(late.created_at.getTime()).toBeLessThan(newer.created_at.getTime());
  await shop.mail.caught(email);
  await drained(shop.db);
  expect(await enqueuedFor(late.id)).toEqual(['send-receipt']);
});

describe('an event whose fan-out always fails', () => {
  test('does not block others, and becomes a dead letter', async () => {
    // All in one batch: they exist before any relay runs.
    const [before, poison, after] = [await pay(), await poisonEvent(), await pay()];
    await startWorker();
    await until(async () => (await isRelayed(before)) && (await isRelayed(after)));
    const job = async () =>
      (await jobs(shop.db, 'fan-out-event')).find(({ payload }) => payload.event === poison);
    await until(async () => /is gone/.test((await job())?.last_error ?? ''));
    await drainedExcept(poison);
    // The queue relays each event of the batch, so one that fails takes no other with it.
    for (const cause of [before, after])
      expect(await enqueuedFor((await eventOf(cause)).id)).toEqual([
        'fan-out-event',
        'send-receipt',
      ]);
    expect(await enqueuedFor(poison)).toEqual(['fan-out-event']);

    const lastAttempt = `UPDATE graphile_worker._private_jobs SET attempts = max_attempts - 1, run_at = now()
      WHERE id = $1 AND locked_at IS NULL`;
    const { id } = (await job())!;
    await until(async () => (await shop.db.query(lastAttempt, [id])).rowCount === 1); // not during a retry
    await until(async () => (await job())?.attempts === 25 && !(await job())!.locked);
    await shop.db.query('DELETE FROM graphile_worker._private_jobs WHERE id = $1', [
      (await job())!.id,
    ]);
    await shop.db.query('DELETE FROM events WHERE id = $1', [poison]);
  });

  /** It is about a charge for an order that does not exist. */
  async function poisonEvent(): Promise<string> {
    const id = `evt_${randomUUID()}`;
    await shop.db.query(
      `INSERT INTO events (account_id, id, type, cause, data)
       SELECT account_id, $1, 'charge.succeeded', $1, '{"object":{"order":"order_absent","receipt_email":null}}'
       FROM charges LIMIT 1`,
      [id],
    );
    return id;
  }

  function drainedExcept(event: string): Promise<void> {
    return until(async () => (await jobs(shop.db)).every(({ payload }) => payload.event === event));
  }
});
