import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { PROBE_POINTS, type ProbePoint } from '../support/internals.js';
import { dieAt } from '../support/api-process.js';
import { expectCleanBooks, paymentsAtProcessor } from '../support/books.js';
import { send } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { endLeases } from '../support/time.js';
import { until } from '../support/until.js';
import {
  getOrder,
  getProduct,
  newId,
  orderOf,
  pay,
  putOrder,
  putProduct,
} from './orders.support.js';

/** The state of an order, and of the one product that it needs, after a kill -9 at a point. */
const AFTER_CRASH: Partial<Record<ProbePoint, 'free' | 'held' | 'ended'>> = {
  'before-reserve': 'free',
  'reserve-written': 'free',
  'after-reserve': 'held',
  'after-perform': 'held',
  'settle-written': 'held',
  'after-settle': 'ended',
};
const POINTS = PROBE_POINTS.filter((point) => point in AFTER_CRASH);
const CARDS = { paid: 'pm_card_visa', open: 'pm_card_visa_chargeDeclined' } as const;
type End = keyof typeof CARDS;

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(async () => {
  await expectCleanBooks(service);
  await service.stop();
});

interface Left {
  point: ProbePoint;
  end: End;
  order: string;
  sku: string;
  key: string;
}

/** One API process runs two payments to each point, and dies. */
async function crashEverywhere(): Promise<Left[]> {
  const left = await Promise.all(
    POINTS.flatMap((point) =>
      (['paid', 'open'] as const).map(async (end) => {
        const [order, sku] = [newId(), newId('sku')];
        await putProduct(service.apiUrl, sku, 1);
        await putOrder(service.apiUrl, order, orderOf(1000, sku));
        return { point, end, order, sku, key: newId('key') };
      }),
    ),
  );
  const doomed = await service.startApiProcess({ diesWith: left.length });
  const lost = left.map(({ point, order, key, end }) =>
    pay(doomed.url, order, key, { payment_method: CARDS[end] }, dieAt(point)).then(
      ({ text }) => text,
      () => 'no answer',
    ),
  );
  expect(await Promise.all(lost)).toEqual(left.map(() => 'no answer'));
  expect(await doomed.death).toBe('SIGKILL');
  return left;
}

async function stateOf({ order, sku }: Left) {
  const { status, charge } = (await getOrder(service.apiUrl, order)).body;
  const { body } = await getProduct(service.apiUrl, sku);
  // Held or, once a worker has run, booked: the available stock is the same.
  const left = (body.on_hand as number) - (body.held as number);
  return { status, charged: charge !== null, left };
}

const ended = (end: End) =>
  end === 'paid'
    ? { status: 'paid', charged: true, left: 0 }
    : { status: 'open', charged: false, left: 1 };

test('a kill -9 at any point holds the order and its stock until the charge has ended, with and without a retry', async () => {
  const left = await crashEverywhere();
  expect(left).toHaveLength(2 * POINTS.length);

  for (const each of left) {
    const truth = AFTER_CRASH[each.point];
    const open = { status: 'open', charged: false, left: 1 };
    const expected =
      truth === 'free'
        ? open
        : truth === 'held'
          ? { ...open, charged: true, left: 0 }
          : ended(each.end);
    expect({ ...each, ...(await stateOf(each)) }).toEqual({ ...each, ...expected });
    if (truth !== 'held') continue;
    const other = await pay(service.apiUrl, each.order, newId('key'));
    expect(other).toMatchObject({ status: 409, body: { code: 'payment_pending' } });
  }

  await endLeases(service.db);
  // The client retries every other one; the worker alone finishes the rest.
  const retried = left.filter((_, i) => i % 4 < 2);
  await Promise.all(
    retried.map(async ({ order, key, end }) => {
      const reply = await pay(service.apiUrl, order, key, { payment_method: CARDS[end] });
      expect(reply.status).toBe(end === 'paid' ? 201 : 402);
    }),
  );
  for (const each of retried) expect(await stateOf(each)).toEqual(ended(each.end));

  await service.startWorker();
  for (const each of left.filter((one) => !retried.includes(one))) {
    const begun = AFTER_CRASH[each.point] !== 'free';
    if (begun) {
      await until(async () => {
        const { body } = await send(`${service.apiUrl}/idempotency-keys/${each.key}`);
        return (body.state as string) === 'completed';
      });
    }
    const expected = begun ? ended(each.end) : { status: 'open', charged: false, left: 1 };
    expect(await stateOf(each)).toEqual(expected);
  }
  const payments = await paymentsAtProcessor(service.sandboxUrl);
  const orders = payments.map(({ metadata }) => metadata.order);
  expect(new Set(orders).size).toBe(orders.length);
});
