import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { expectCleanBooks } from '../support/books.js';
import { startReceiver, type Receiver } from '../support/receiver.js';
import { until } from '../support/until.js';
import { newEndpoint, type TestEndpoint } from '../webhooks/webhooks.support.js';
import { forgetEffects } from './careless.support.js';
import { drained, letLocksRunOut, skipPauses, startShop, type Shop } from './effects.support.js';
import {
  buyAll,
  drainedInTime,
  effectsOfAll,
  loseAcknowledgements,
  makeOrders,
  ON_HAND,
  ONE_OF_EACH,
  prepareWorkers,
  type Workers,
} from './storm.support.js';

// Slow: eight worker processes, and pauses between kills.

/** `npm run storm` makes a thousand: one to two minutes on two idle processors. */
const ORDERS = Number(process.env.STORM_ORDERS ?? 100);
/** A worker is killed each time this many orders are paid, but at most one a second. Three for a hundred orders. */
const ORDERS_A_KILL = Math.min(50, Math.ceil(ORDERS / 3));
/** Three that run, and one standby for each kill, as far as memory allows. */
const PREPARED = Math.min(20, 3 + Math.floor(ORDERS / ORDERS_A_KILL));
jest.setTimeout(600_000);

let shop: Shop;
let receiver: Receiver;
let endpoint: TestEndpoint;
async function open(): Promise<void> {
  receiver = await startReceiver();
  shop = await startShop({ JOB_LOCK_SECONDS: '3' }); // frees the jobs of killed workers soon
  endpoint = await newEndpoint(shop, receiver, ['charge.succeeded', 'fulfillment.created']);
}
async function close(): Promise<void> {
  await shop.stop();
  await receiver.stop();
}

async function count(from: string): Promise<number> {
  const { rows } = await shop.db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${from}`);
  return rows[0]!.n;
}

describe('a storm of orders with a worker killed every second', () => {
  const orders = makeOrders(ORDERS);
  let workers: Workers;
  beforeAll(async () => {
    await open();
    // Slow, like a distant merchant, so that killed workers have deliveries in flight.
    receiver.answer(endpoint.path, (response) => setTimeout(() => response.end(), 100));
    await loseAcknowledgements(shop, 20);
    workers = await prepareWorkers(shop.env, PREPARED);
  });
  afterAll(close);

  test('leaves one of each effect for each order, and an empty queue', async () => {
    let paid = 0;
    let buying = true;
    const bought = buyAll(shop, orders, () => paid++).finally(() => (buying = false));
    const kills = await workers.killEverySecond(async (before) => {
      await until(async () => !buying || paid >= ORDERS_A_KILL * before, 300_000);
      return buying;
    });
    await bought;
    expect(kills).toBeGreaterThan(1);

    // No worker is alive, so an hour may pass for every lock and lease.
    await letLocksRunOut(shop.db);
    await skipPauses(shop.db);
    await shop.startWorkerProcess();
    await drained(shop.db, 300_000); // including dead letters

    // Proof that it was a storm: jobs ran twice, and workers were killed between an effect and its record.
    expect(await count('lost_acknowledgements')).toBeGreaterThan(orders.length / 10);
    const doubtful = await count(
      'webhook_attempts WHERE response_status IS NULL AND error IS NULL',
    );
    expect(doubtful).toBeGreaterThan(0);

    expect(await effectsOfAll(shop, receiver, endpoint)).toEqual(
      new Map(orders.map(({ id }) => [id, ONE_OF_EACH])),
    );
    await expectStockToAddUp();
    expect(await count(`webhook_deliveries WHERE status = 'succeeded'`)).toBe(2 * orders.length);
    expect(await count('webhook_deliveries')).toBe(2 * orders.length);
    await expectCleanBooks(shop);
  });

  /** The stock is the initial stock minus what was sold. */
  async function expectStockToAddUp(): Promise<void> {
    const sold = new Map<string, number>();
    for (const { sku, quantity } of orders.flatMap(({ items }) => items))
      sold.set(sku, (sold.get(sku) ?? 0) + quantity);
    const { rows } = await shop.db.query<{ sku: string; sold: number; held: number }>(
      `SELECT sku, ${ON_HAND} - on_hand::int AS sold, held::int FROM products ORDER BY sku`,
    );
    expect(rows).toEqual(
      [...sold].sort().map(([sku, quantity]) => ({ sku, sold: quantity, held: 0 })),
    );
  }
});

describe('without the dedupe of the effects (control)', () => {
  const orders = makeOrders(10);
  beforeAll(async () => {
    await open();
    await forgetEffects(shop);
    await loseAcknowledgements(shop, 1);
  });
  afterAll(close);

  test('a queue that forgets each acknowledgement once leaves more than one of each', async () => {
    await shop.startWorkerProcess();
    await buyAll(shop, orders);
    await drainedInTime(shop);
    const all = await effectsOfAll(shop, receiver, endpoint);
    expect(all.size).toBe(orders.length);
    for (const effects of all.values()) {
      expect(effects).toMatchObject({ charges: 1, webhooks: ONE_OF_EACH.webhooks });
      expect(effects.movements).toBeGreaterThan(ONE_OF_EACH.movements);
      expect(effects.shipments.length).toBeGreaterThan(1);
      expect(effects.copiesTooMany).toBeGreaterThan(0);
      expect(effects.requestsTooMany).toBeGreaterThan(0);
    }
  });
});
