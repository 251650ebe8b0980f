import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ProbePoint } from '../support/internals.js';
import { dieAt } from '../support/api-process.js';
import { getCharge, lookUp, send } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { endLeases } from '../support/time.js';
import { until } from '../support/until.js';
import { newCharge, newKey, refund, refundFaults, refundsAtProcessor } from './refunds.support.js';

/** The state after a kill -9: our row, and how often the money went back. */
const AFTER_CRASH = {
  'before-reserve': { status: undefined, gone: 0 },
  'reserve-written': { status: undefined, gone: 0 },
  'after-reserve': { status: 'pending', gone: 0 },
  'after-perform': { status: 'pending', gone: 1 },
  'settle-written': { status: 'pending', gone: 1 },
  'after-settle': { status: 'succeeded', gone: 1 },
} as const satisfies Partial<Record<ProbePoint, object>>;
type Point = keyof typeof AFTER_CRASH;
const POINTS = Object.keys(AFTER_CRASH) as Point[];
const BODY = { amount: 400 };

let service: Service;
let api: string;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
});
afterAll(async () => {
  expect(await refundFaults(service.db, service.sandboxUrl)).toEqual([]);
  await service.stop();
});

interface Left {
  charge: string;
  key: string;
}
const gone = async (charge: string) =>
  (await refundsAtProcessor(service.sandboxUrl, charge)).map(({ amount }) => amount);

async function statusOf(charge: string): Promise<unknown> {
  const { body } = await send(`${api}/charges/${charge}/refunds`);
  return (body.data as { status: string }[])[0]?.status;
}

/** Two refunds of two charges at each point. The one process that runs them all is killed. */
async function crashEverywhere(): Promise<Map<Point, Left[]>> {
  const make = async (): Promise<Left> => ({ charge: await newCharge(api), key: newKey() });
  const left = new Map<Point, Left[]>();
  for (const point of POINTS) left.set(point, [await make(), await make()]);
  const doomed = await service.startApiProcess({ diesWith: 2 * POINTS.length });
  const lost = [...left].flatMap(([point, both]) =>
    both.map(({ charge, key }) =>
      refund(doomed.url, charge, key, BODY, dieAt(point)).then(
        ({ text }) => text,
        () => 'no answer',
      ),
    ),
  );
  expect(new Set(await Promise.all(lost))).toEqual(new Set(['no answer']));
  expect(await doomed.death).toBe('SIGKILL');
  await endLeases(service.db);
  return left;
}

describe('a kill -9 of the API during a refund', () => {
  let left: Map<Point, Left[]>;
  let worker: Running | undefined;
  beforeAll(async () => {
    left = await crashEverywhere();
  });

  test.each(POINTS)('at %s: with a retry, the money goes back once', async (point) => {
    const { status, gone: before } = AFTER_CRASH[point];
    const { charge, key } = left.get(point)![0]!;
    expect(await statusOf(charge)).toBe(status);
    expect(await gone(charge)).toHaveLength(before);
    const counted = status === 'succeeded' ? 400 : 0;
    expect((await getCharge(api, charge)).body.amount_refunded).toBe(counted);
    if (status === 'pending') {
      // The dead process' refund stays reserved.
      const rest = await refund(api, charge, newKey(), { amount: 801 });
      expect(rest).toMatchObject({ status: 409, body: { code: 'payment_pending' } });
    }

    const retry = await refund(api, charge, key, BODY);
    expect(retry).toMatchObject({ status: 201, body: { amount: 400, status: 'succeeded' } });
    expect('idempotent-replayed' in retry.headers).toBe(status === 'succeeded');
    expect(await gone(charge)).toEqual([400]);
    expect((await getCharge(api, charge)).body.amount_refunded).toBe(400);
    expect((await refund(api, charge, key, BODY)).text).toBe(retry.text);
  });

  test.each(POINTS)('at %s: without a retry, the worker finishes the refund', async (point) => {
    worker ??= await service.startWorker();
    const { charge, key } = left.get(point)![1]!;
    const begun = AFTER_CRASH[point].status !== undefined;
    if (begun) {
      await until(async () => (await statusOf(charge)) === 'succeeded');
      expect((await lookUp(api, key)).body).toMatchObject({ state: 'completed', status: 201 });
    } else {
      expect((await lookUp(api, key)).status).toBe(404);
    }
    expect(await gone(charge)).toEqual(begun ? [400] : []);
    expect((await getCharge(api, charge)).body.amount_refunded).toBe(begun ? 400 : 0);
  });
});
