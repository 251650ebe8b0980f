import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { statementsWaiting } from '../support/held-statement.js';
import { startMailCatcher, type MailCatcher } from '../support/mail-catcher.js';
import { send } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';
import type { WorkerProcess } from '../support/worker-process.js';
import { Workers } from './workers.support.js';

/** The API in this process, a mail server, and the worker processes that a test starts. */
export interface Shop extends Service {
  mail: MailCatcher;
  startWorkerProcess(env?: Record<string, string>): Promise<WorkerProcess>;
  /** A worker that has started and is suspended. Use it if one must run before another worker's lease ends. */
  startSleepingWorker(): Promise<WorkerProcess>;
  /** Suspends every worker during `work`: one left running would do the jobs of the others. */
  whileWorkersSleep<T>(work: () => Promise<T>): Promise<T>;
}

export async function startShop(env: Record<string, string> = {}): Promise<Shop> {
  const mail = await startMailCatcher();
  const service = await startService({
    // Long enough that a slow job is not freed. A test ages the jobs that it wants to take over.
    env: { SMTP_URL: mail.url, JOB_LOCK_SECONDS: '15', ...env },
  });
  const workers = new Workers(service.env);
  return {
    ...service,
    mail,
    startWorkerProcess: (more) => workers.start(more),
    startSleepingWorker: () => workers.startAsleep(),
    whileWorkersSleep: (work) => workers.sleepDuring(work),
    async stop() {
      await workers.kill();
      await service.stop();
      await mail.stop();
    },
  };
}

/** A product, an order for it, and the charge that paid the order. */
export interface Purchase {
  sku: string;
  order: string;
  email: string;
  charge: string;
}

/** Buys two of ten. Nothing follows unless a worker runs. */
export async function buy({ apiUrl }: Service, more: { email?: null } = {}): Promise<Purchase> {
  const name = randomUUID().slice(0, 8);
  const [sku, order, email] = [`sku-${name}`, `order-${name}`, `${name}@shop.test`];
  const put = (path: string, body: object) => send(apiUrl + path, { method: 'PUT', body });
  await put(`/products/${sku}`, { name: 'A cup', on_hand: 10 });
  const items = [{ sku, quantity: 2, unit_amount: 600 }];
  await put(`/orders/${order}`, {
    currency: 'eur',
    items,
    ...(more.email === null ? {} : { email }),
  });
  const paid = await send(`${apiUrl}/charges`, {
    key: randomUUID(),
    body: { order, payment_method: 'pm_card_visa' },
  });
  if (paid.status !== 201) throw new Error(`not paid: ${paid.text}`);
  return { sku, order, email, charge: paid.body.id };
}

/** Counts each effect. One of each is correct. */
export async function effectsOf(shop: Shop, { sku, order, email, charge }: Purchase) {
  const count = async (sql: string, ...values: unknown[]) =>
    (await shop.db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${sql}`, values)).rows[0]!
      .n;
  const { rows } = await shop.db.query<{ on_hand: string; held: string }>(
    'SELECT on_hand, held FROM products WHERE sku = $1',
    [sku],
  );
  return {
    // By Message-ID: a worker killed at the wrong moment leaves a message twice (receipts-interrupted.spec.ts).
    mails: new Set(shop.mail.of(email).map(({ messageId }) => messageId)).size,
    bookings: await count(`stock_movements WHERE cause = $1 AND kind = 'book'`, charge),
    onHand: Number(rows[0]?.on_hand),
    held: Number(rows[0]?.held),
    shipments: await count('fulfillments WHERE order_id = $1', order),
    webhooks: await count(
      `events WHERE type = 'fulfillment.created' AND data #>> '{object,order}' = $1`,
      order,
    ),
  };
}

export const ONE_OF_EACH = { mails: 1, bookings: 1, onHand: 8, held: 0, shipments: 1, webhooks: 1 };

/** Adds a job as the code does. */
export async function addJob(db: pg.Pool, task: string, payload: object): Promise<string> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT id::text FROM graphile_worker.add_job($1, $2::json, max_attempts => 25)`,
    [task, JSON.stringify(payload)],
  );
  return rows[0]!.id;
}

export interface QueuedJob {
  id: string;
  task: string;
  payload: Record<string, string>;
  attempts: number;
  locked: boolean;
  last_error: string | null;
}

/** All jobs in the queue, including dead letters. */
export async function jobs(db: pg.Pool, task?: string): Promise<QueuedJob[]> {
  const { rows } = await db.query<QueuedJob>(
    `SELECT id::text, task_identifier AS task, payload, jobs.attempts, jobs.locked_at IS NOT NULL AS locked,
       jobs.last_error
     FROM graphile_worker.jobs JOIN graphile_worker._private_jobs AS private USING (id)
     WHERE $1::text IS NULL OR task_identifier = $1 ORDER BY id`,
    [task],
  );
  return rows;
}

/** An attempt in flight, or one whose process was killed; for queries of `webhook_deliveries AS delivery`. */
export const IS_UNDER_WAY = `delivery.status = 'pending' AND EXISTS (
  SELECT 1 FROM webhook_attempts AS attempt
  WHERE attempt.account_id = delivery.account_id AND attempt.delivery_id = delivery.id
    AND attempt.number = delivery.attempts AND response_status IS NULL AND error IS NULL)`;

/** One statement, so that nothing is missed between an event and its jobs and deliveries. */
const LEFT = `
  SELECT 'event' AS kind, id, type AS what FROM events WHERE relayed_at IS NULL
  UNION ALL SELECT 'job', id::text, task_identifier || COALESCE(': ' || last_error, '') FROM graphile_worker.jobs
  UNION ALL SELECT 'delivery', id, CASE WHEN ${IS_UNDER_WAY} THEN 'under way' ELSE 'due' END
    FROM webhook_deliveries AS delivery
    WHERE status = 'pending' AND (next_attempt_at <= now() OR ${IS_UNDER_WAY})`;

/**
 * Resolves when no work is due: events are relayed, the queue is empty, and no delivery is due or in flight. Does not
 * wait for deliveries whose next attempt comes later.
 */
export function drained(db: pg.Pool, timeoutMs?: number): Promise<void> {
  return until(async () => {
    const { rows } = await db.query(LEFT);
    if (rows.length > 0) throw new Error(`left: ${JSON.stringify(rows.slice(0, 5))}`);
    return true;
  }, timeoutMs);
}

/**
 * Moves locks and leases an hour into the past. PostgreSQL is the only clock.
 * @param only these jobs, and no message or delivery.
 */
export async function letLocksRunOut(db: pg.Pool, only?: string[]): Promise<void> {
  await db.query(
    `UPDATE graphile_worker._private_jobs SET locked_at = locked_at - interval '1 hour'
     WHERE locked_at IS NOT NULL AND ($1::bigint[] IS NULL OR id = ANY($1))`,
    [only],
  );
  if (only !== undefined) return;
  await db.query(
    `UPDATE sent_emails SET lease_expires_at = lease_expires_at - interval '1 hour' WHERE lease_expires_at IS NOT NULL`,
  );
  await db.query(
    `UPDATE webhook_deliveries AS delivery SET next_attempt_at = next_attempt_at - interval '1 hour' WHERE ${IS_UNDER_WAY}`,
  );
}

/** Ends backoffs and pauses: waiting attempts run now, without waiting for the next poll. */
export async function skipPauses(db: pg.Pool): Promise<void> {
  await db.query(
    `WITH due AS (
       UPDATE webhook_deliveries AS delivery SET next_attempt_at = now()
       WHERE next_attempt_at > now() AND NOT (${IS_UNDER_WAY}))
     UPDATE graphile_worker._private_jobs SET run_at = now() WHERE locked_at IS NULL AND run_at > now()`,
  );
  await db.query(`SELECT pg_notify('jobs:insert', '{"r":' || random() || ',"count":100}')`);
}

/** Locks rows, so that other writers wait. The returned function releases them. */
export async function lockRows(
  databaseUrl: string,
  sql: string,
  values: unknown[],
): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query('BEGIN');
  const { rowCount } = await client.query(`${sql} FOR UPDATE`, values);
  if (rowCount === 0) throw new Error(`nothing to lock: ${sql}`);
  return () => client.end();
}

/** A paid order, locked before any worker sees it: the job that fulfills it waits. */
export function buyAndLockTheOrder(
  shop: Shop,
  before: (purchase: Purchase) => Promise<unknown> = async () => {},
): Promise<{ purchase: Purchase; letGo: () => Promise<void> }> {
  return shop.whileWorkersSleep(async () => {
    const purchase = await buy(shop);
    await before(purchase);
    const { order } = purchase;
    const sql = 'SELECT 1 FROM orders WHERE id = $1';
    return { purchase, letGo: await lockRows(shop.databaseUrl, sql, [order]) };
  });
}

/** Resolves when statements of other sessions wait for a lock. */
export function untilWaiting(db: pg.Pool, sql: string, count = 1): Promise<void> {
  return until(async () => (await statementsWaiting(db, sql)) >= count);
}

/** Resolves when none of them waits any more. */
export function untilNoneWaits(db: pg.Pool, sql: string): Promise<void> {
  return until(async () => (await statementsWaiting(db, sql)) === 0);
}

/**
 * Makes each writer of such a row wait, at the write or at its COMMIT. The returned function releases them.
 * @param when the trigger's condition, such as `NEW.step = 'handed_over'`.
 */
export async function holdWriters(
  { databaseUrl, db }: Shop,
  table: string,
  at: 'write' | 'commit',
  when = 'true',
): Promise<() => Promise<void>> {
  await db.query(`
    CREATE OR REPLACE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$`);
  const [kind, timing] =
    at === 'write'
      ? ['TRIGGER', 'BEFORE INSERT OR UPDATE']
      : ['CONSTRAINT TRIGGER', 'AFTER INSERT OR UPDATE'];
  const deferred = at === 'write' ? '' : 'DEFERRABLE INITIALLY DEFERRED';
  await db.query(`
    CREATE ${kind} held_by_the_test ${timing} ON ${table} ${deferred}
    FOR EACH ROW WHEN (${when}) EXECUTE FUNCTION wait_for_the_test()`);
  const holder = new pg.Client({ connectionString: databaseUrl });
  await holder.connect();
  await holder.query('SELECT pg_advisory_lock(4711)');
  return async () => {
    await holder.end();
    await db.query(`DROP TRIGGER held_by_the_test ON ${table}`);
  };
}
