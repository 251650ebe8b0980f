import { setTimeout as delay } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { send } from '../support/raw-client.js';
import type { Receiver } from '../support/receiver.js';
import { until } from '../support/until.js';
import {
  prepareWorkerProcess,
  startWorkerProcess,
  type StandbyWorker,
} from '../support/worker-process.js';
import type { TestEndpoint } from '../webhooks/webhooks.support.js';
import { IS_UNDER_WAY, letLocksRunOut, skipPauses, type Shop } from './effects.support.js';

/** Twenty products, each with more stock than all orders need. */
const SKUS = Array.from({ length: 20 }, (_, i) => `sku-${i}`);
export const ON_HAND = 10_000;
const CLIENTS = 4;
const KILL_EVERY_MS = 1_000;

export interface Order {
  id: string;
  email: string;
  items: { sku: string; quantity: number; unit_amount: number }[];
}

/** Each needs two products, so that orders compete for the same rows, in both directions. */
export function makeOrders(count: number): Order[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `order-${i}`,
    email: `${i}@shop.test`,
    items: [i, i * 3 + 1].map((n, nth) => ({
      sku: SKUS[n % SKUS.length]!,
      quantity: 1 + (i % 3) + nth,
      unit_amount: 100 + i,
    })),
  }));
}

/** The customers: each order is created and paid over HTTP, several at a time. */
export async function buyAll(
  { apiUrl }: Shop,
  orders: Order[],
  onPaid: () => unknown = () => {},
): Promise<void> {
  const put = async (path: string, body: object) => {
    const { status, text } = await send(apiUrl + path, { method: 'PUT', body });
    if (status !== 201) throw new Error(`${path}: ${text}`);
  };
  for (const sku of SKUS) await put(`/products/${sku}`, { name: 'A thing', on_hand: ON_HAND });
  const left = orders.values();
  const customer = async () => {
    for (const { id, email, items } of left) {
      await put(`/orders/${id}`, { currency: 'eur', items, email });
      const body = { order: id, payment_method: 'pm_card_visa' };
      const { status, text } = await send(`${apiUrl}/charges`, { key: `pay ${id}`, body });
      if (status !== 201) throw new Error(`${id} is not paid: ${text}`);
      onPaid();
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, customer));
}

export interface Workers {
  /** Kills one worker a second (SIGKILL) and starts another, while `goesOn`. At the end none is alive. */
  killEverySecond(goesOn: (kills: number) => Promise<boolean>): Promise<number>;
}

/**
 * Three workers, and standbys whose code is loaded: loading takes most of a processor for a second, which would slow
 * the storm.
 */
export async function prepareWorkers(env: Record<string, string>, count: number): Promise<Workers> {
  const reserve: StandbyWorker[] = [];
  while (reserve.length < count)
    reserve.push(...(await Promise.all([prepareWorkerProcess(env), prepareWorkerProcess(env)])));
  const start = () => reserve.shift()?.start() ?? startWorkerProcess(env);
  const alive = await Promise.all([start(), start(), start()]);
  return {
    async killEverySecond(goesOn) {
      let kills = 0;
      for (; await goesOn(kills); kills++) {
        await alive.shift()!.kill(); // two remain until the next one is ready
        const [next] = await Promise.all([start(), delay(KILL_EVERY_MS)]);
        alive.push(next);
      }
      await Promise.all(alive.map((worker) => worker.kill()));
      reserve.forEach((standby) => standby.dismiss());
      return kills;
    },
  };
}

/**
 * The queue forgets once that a job was done, as if each n-th worker had been killed between effect and
 * acknowledgement. The job gets an expired lock, so the rescuer frees it and it runs again.
 */
export async function loseAcknowledgements({ db }: Shop, eachNth: number): Promise<void> {
  await db.query('CREATE TABLE lost_acknowledgements (job bigint PRIMARY KEY)');
  await db.query(`
    CREATE FUNCTION lose_acknowledgement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO lost_acknowledgements VALUES (OLD.id) ON CONFLICT DO NOTHING;
      IF NOT FOUND THEN RETURN OLD; END IF;
      UPDATE graphile_worker._private_jobs SET locked_at = locked_at - interval '1 hour' WHERE id = OLD.id;
      RETURN NULL; END $$`);
  await db.query(`
    CREATE TRIGGER lose_acknowledgement BEFORE DELETE ON graphile_worker._private_jobs
    FOR EACH ROW WHEN (OLD.id % ${eachNth} = 0) EXECUTE FUNCTION lose_acknowledgement()`);
}

/**
 * Resolves when nothing is left to do. If everything left waits for its time or a lease, moves the clock by an hour.
 */
export function drainedInTime({ db }: Shop): Promise<void> {
  return until(async () => {
    const { rows } = await db.query<{ left: number; busy: number }>(
      `SELECT count(*)::int AS left, count(*) FILTER (WHERE is_busy)::int AS busy FROM (
         SELECT true AS is_busy FROM events WHERE relayed_at IS NULL
         UNION ALL SELECT locked_at IS NOT NULL OR run_at <= now() FROM graphile_worker.jobs
         UNION ALL SELECT next_attempt_at <= now() OR ${IS_UNDER_WAY} FROM webhook_deliveries AS delivery
           WHERE status = 'pending') AS waiting`,
    );
    const { left, busy } = rows[0]!;
    if (left > 0 && busy === 0) {
      await letLocksRunOut(db);
      await skipPauses(db);
    }
    return left === 0;
  });
}

/** The effects of one order, which has two movements of stock. */
export const ONE_OF_EACH = {
  status: 'paid',
  charges: 1,
  receipts: 1,
  messages: 1,
  copiesTooMany: 0,
  movements: 2,
  shipments: ['handed_over'],
  shown: true,
  webhooks: ['charge.succeeded', 'fulfillment.created'],
  requestsTooMany: 0,
};

/** The effects of each order, counted at the mail server, the receiver, the database and the API. */
export async function effectsOfAll(
  shop: Shop,
  receiver: Receiver,
  endpoint: TestEndpoint,
): Promise<Map<string, typeof ONE_OF_EACH>> {
  const { rows } = await shop.db.query<Row>(`
    SELECT id, email, status, charge_id, fulfillment_id,
      (SELECT count(*)::int FROM charges AS charge
       WHERE charge.account_id = orders.account_id AND order_id = orders.id AND charge.status = 'succeeded') AS charges,
      (SELECT count(*)::int FROM stock_movements AS movement
       WHERE movement.account_id = orders.account_id AND cause IN (orders.charge_id, orders.charge_id || '?') AND kind = 'book') AS movements,
      (SELECT COALESCE(json_agg(step), '[]') FROM fulfillments AS fulfillment
       WHERE fulfillment.account_id = orders.account_id AND order_id = orders.id) AS shipments,
      (SELECT COALESCE(json_agg(epoch), '[]') FROM sent_emails AS mail
       WHERE mail.account_id = orders.account_id AND recipient = orders.email AND sent_at IS NOT NULL) AS epochs
    FROM orders`);
  const shown = await shownFulfillments(shop);
  const heard = await hear(shop, receiver, endpoint);
  return new Map(
    rows.map(({ id, email, status, charges, movements, shipments, fulfillment_id, epochs }) => {
      const mails = shop.mail.of(email);
      const news = heard.get(id) ?? [];
      return [
        id,
        {
          status,
          charges,
          receipts: epochs.length,
          messages: new Set(mails.map(({ messageId }) => messageId)).size,
          // Each claim sends at most one copy, and may have ended with its worker.
          copiesTooMany: Math.max(0, mails.length - (epochs[0] ?? 0)),
          movements,
          shipments,
          shown: shown.get(id) === fulfillment_id && fulfillment_id !== null,
          webhooks: news.map(({ type }) => type).sort(),
          requestsTooMany: news.reduce((sum, { tooMany }) => sum + tooMany, 0),
        },
      ];
    }),
  );
}

interface Row {
  id: string;
  email: string;
  status: string;
  charges: number;
  movements: number;
  shipments: string[];
  fulfillment_id: string | null;
  epochs: number[];
}

/** The shipment of each order, as `GET /orders` shows it. */
async function shownFulfillments({ apiUrl }: Shop): Promise<Map<string, string | null>> {
  const shown = new Map<string, string | null>();
  for (let after = '', more = true; more;) {
    const { body } = await send(`${apiUrl}/orders?limit=100${after}`);
    const orders = body.data as { id: string; fulfillment: string | null }[];
    for (const { id, fulfillment } of orders) shown.set(id, fulfillment);
    after = `&starting_after=${orders.at(-1)?.id}`;
    more = body.has_more === true;
  }
  return shown;
}

/**
 * For each order, the events that its merchant received, deduplicated by `webhook-id` as in docs/webhook-receiver.md.
 */
async function hear({ db }: Shop, receiver: Receiver, { id, path, secret }: TestEndpoint) {
  const { rows } = await db.query<{ event_id: string; doubtful: number }>(
    `SELECT event_id, count(*) FILTER (
       WHERE response_status IS NULL AND COALESCE(error = 'no answer in time', true))::int AS doubtful
     FROM webhook_deliveries AS delivery
     JOIN webhook_attempts AS attempt ON attempt.account_id = delivery.account_id AND delivery_id = delivery.id
     WHERE endpoint_id = $1 GROUP BY event_id`,
    [id],
  );
  const doubtful = new Map(rows.map((row) => [row.event_id, row.doubtful]));
  const seen = new Map<string, { order: string; type: string; requests: number }>();
  const webhook = new Webhook(secret);
  for (const { headers, body } of receiver.at(path)) {
    const [id, seconds, signature] = ['id', 'timestamp', 'signature'].map((name) =>
      String(headers[`webhook-${name}`]),
    ) as [string, string, string];
    // Not `verify`: it compares with the current time, and a storm may last longer than its five minutes.
    expect(signature).toBe(webhook.sign(id, new Date(Number(seconds) * 1000), body));
    const { type, data } = JSON.parse(body) as HeardEvent;
    const news = seen.get(id) ?? { order: data.object.order ?? data.object.id, type, requests: 0 };
    seen.set(id, { ...news, requests: news.requests + 1 });
  }
  const heard = new Map<string, { type: string; tooMany: number }[]>();
  for (const [id, { order, type, requests }] of seen) {
    // An attempt without a recorded end may have arrived, which makes one more.
    const tooMany = Math.max(0, requests - 1 - (doubtful.get(id) ?? 0));
    heard.set(order, [...(heard.get(order) ?? []), { type, tooMany }]);
  }
  return heard;
}

interface HeardEvent {
  type: string;
  data: { object: { id: string; order?: string } };
}
