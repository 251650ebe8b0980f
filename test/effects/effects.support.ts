import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { startMailCatcher, type MailCatcher } from '../support/mail-catcher.js';
import { send } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';
import {
  prepareWorkerProcess,
  startWorkerProcess,
  type StandbyWorker,
  type WorkerProcess,
} from '../support/worker-process.js';

/** The API in this process, a mail server, and as many worker processes as a test starts. */
export interface Shop extends Service {
  mail: MailCatcher;
  startWorkerProcess(env?: Record<string, string>): Promise<WorkerProcess>;
  /** For one that must be there soon: what it takes over from gives up after a time limit, asleep or not. */
  prepareWorkerProcess(): Promise<StandbyWorker>;
  /** Puts every worker to sleep meanwhile: one that is left awake does the jobs of those that sleep. */
  whileWorkersSleep<T>(work: () => Promise<T>): Promise<T>;
}

export async function startShop(env: Record<string, string> = {}): Promise<Shop> {
  const mail = await startMailCatcher();
  const service = await startService({
    // Long enough that a job which is merely slow is not freed; what a test takes over, it has aged.
    env: { SMTP_URL: mail.url, JOB_LOCK_SECONDS: '15', ...env },
  });
  const alive = new Set<WorkerProcess>();
  const keep = (worker: WorkerProcess): WorkerProcess => {
    const kept = {
      ...worker,
      async kill(signal?: NodeJS.Signals) {
        const end = await worker.kill(signal);
        alive.delete(kept);
        return end;
      },
    };
    alive.add(kept);
    return kept;
  };
  return {
    ...service,
    mail,
    startWorkerProcess: async (more = {}) =>
      keep(await startWorkerProcess({ ...service.env, ...more })),
    async prepareWorkerProcess() {
      const standby = await prepareWorkerProcess(service.env);
      return { ...standby, start: async () => keep(await standby.start()) };
    },
    async whileWorkersSleep(work) {
      const asleep = [...alive];
      await Promise.all(asleep.map((worker) => worker.sleep()));
      try {
        return await work();
      } finally {
        for (const worker of asleep) worker.wake();
      }
    },
    async stop() {
      await Promise.all([...alive].map((worker) => worker.kill()));
      await service.stop();
      await mail.stop();
    },
  };
}

/** A thing in stock, an order for it, and the charge that paid the order. */
export interface Purchase {
  sku: string;
  order: string;
  email: string;
  charge: string;
}

/** Buys two of ten. Nobody follows up on it unless a worker runs. */
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

/** What there is of each effect; one of each is right. */
export async function effectsOf(shop: Shop, { sku, order, email, charge }: Purchase) {
  const count = async (sql: string, ...values: unknown[]) =>
    (await shop.db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${sql}`, values)).rows[0]!
      .n;
  const { rows } = await shop.db.query<{ on_hand: string; held: string }>(
    'SELECT on_hand, held FROM products WHERE sku = $1',
    [sku],
  );
  return {
    // By Message-ID: a worker that is killed at the wrong moment leaves two copies of one message (receipts.spec.ts).
    mails: new Set(shop.mail.of(email).map(({ messageId }) => messageId)).size,
    bookings: await count(`stock_movements WHERE cause = $1 AND kind = 'book'`, charge),
    onHand: Number(rows[0]?.on_hand),
    held: Number(rows[0]?.held),
    shipments: await count('fulfillments WHERE order_id = $1', order),
    told: await count(
      `events WHERE type = 'fulfillment.created' AND data #>> '{object,order}' = $1`,
      order,
    ),
  };
}

export const ONE_OF_EACH = { mails: 1, bookings: 1, onHand: 8, held: 0, shipments: 1, told: 1 };

/** Adds a job as the code does, in the caller's own words. */
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

/** What is in the queue, parked jobs included. */
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

/** An attempt that is under way, or whose process was killed; in a query of `webhook_deliveries AS delivery`. */
export const IS_UNDER_WAY = `delivery.status = 'pending' AND EXISTS (
  SELECT 1 FROM webhook_attempts AS attempt
  WHERE attempt.account_id = delivery.account_id AND attempt.delivery_id = delivery.id
    AND attempt.number = delivery.attempts AND response_status IS NULL AND error IS NULL)`;

/** One statement, so that nothing is missed on its way from an event to its jobs and deliveries. */
const LEFT = `
  SELECT 'event' AS kind, id, type AS what FROM events WHERE relayed_at IS NULL
  UNION ALL SELECT 'job', id::text, task_identifier || COALESCE(': ' || last_error, '') FROM graphile_worker.jobs
  UNION ALL SELECT 'delivery', id, CASE WHEN ${IS_UNDER_WAY} THEN 'under way' ELSE 'due' END
    FROM webhook_deliveries AS delivery
    WHERE status = 'pending' AND (next_attempt_at <= now() OR ${IS_UNDER_WAY})`;

/**
 * Resolves when nothing is left to do now: events are relayed, the queue is empty, and no delivery is due or under way.
 * A delivery that waits for the time of its next attempt is not waited for.
 */
export function drained(db: pg.Pool, timeoutMs?: number): Promise<void> {
  return until(async () => {
    const { rows } = await db.query(LEFT);
    if (rows.length > 0) throw new Error(`left: ${JSON.stringify(rows.slice(0, 5))}`);
    return true;
  }, timeoutMs);
}

/**
 * As if an hour passed for the process that holds a job, a message or a delivery now. PostgreSQL is the only clock.
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

/** Ends back-offs and pauses: what waits for its next attempt runs now, without waiting for the runner's poll. */
export async function skipPauses(db: pg.Pool): Promise<void> {
  await db.query(
    `WITH due AS (
       UPDATE webhook_deliveries AS delivery SET next_attempt_at = now()
       WHERE next_attempt_at > now() AND NOT (${IS_UNDER_WAY}))
     UPDATE graphile_worker._private_jobs SET run_at = now() WHERE locked_at IS NULL AND run_at > now()`,
  );
  await db.query(`SELECT pg_notify('jobs:insert', '{"r":' || random() || ',"count":100}')`);
}

/** Locks rows, so that whoever wants them waits; the returned function lets go. */
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

/** Resolves when statements of somebody else wait for a lock. */
export function somebodyWaits(db: pg.Pool, sql: string, count = 1): Promise<void> {
  return until(async () => (await waiting(db, sql)) >= count);
}

/** Resolves when none of them does any more. */
export function nobodyWaits(db: pg.Pool, sql: string): Promise<void> {
  return until(async () => (await waiting(db, sql)) === 0);
}

async function waiting(db: pg.Pool, sql: string): Promise<number> {
  const { rows } = await db.query(
    `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
       AND query LIKE '%' || $1 || '%'`,
    [sql],
  );
  return rows.length;
}

/**
 * Whoever writes such a row waits: at once, or at the COMMIT. The returned function lets go.
 * @param when of the trigger, as `NEW.step = 'handed_over'`.
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
