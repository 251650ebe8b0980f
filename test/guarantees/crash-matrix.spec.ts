import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { PROBE_POINTS, deriveId, type ProbePoint } from '../support/internals.js';
import { dieAt } from '../support/api-process.js';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { charge, chargeUntilAnswered, getCharge, lookUp } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { endLeases } from '../support/time.js';
import { until } from '../support/until.js';
import { chargeOf, waysPast, type Way } from '../support/ways.js';

/** What is true after a kill -9 at a point: our rows, and the payments at the processor. */
interface Truth {
  rows: 'none' | 'pending' | 'settled';
  paid: 0 | 1;
  /** The card that makes an attempt pass this point, if an ordinary charge does not. */
  paymentMethod?: string;
}

/**
 * The whole guarantee, point by point. A point without a line here does not compile. Both ways of writing have the same
 * outcome.
 */
const MATRIX: Record<ProbePoint, Truth> = {
  received: { rows: 'none', paid: 0 },
  'before-reserve': { rows: 'none', paid: 0 },
  'record-written': { rows: 'none', paid: 0 },
  'reserve-written': { rows: 'none', paid: 0 },
  'after-reserve': { rows: 'pending', paid: 0 },
  'before-perform': { rows: 'pending', paid: 0 },
  'after-perform': { rows: 'pending', paid: 1 },
  'settle-written': { rows: 'pending', paid: 1 },
  'after-settle': { rows: 'settled', paid: 1 },
  released: { rows: 'pending', paid: 0, paymentMethod: 'pm_lab_unavailable_once' },
};

/** In ms. A charge is settled this soon after a crash, with or without a retry. */
const LEASE_MS = 10_000;
const PROMISED_MS = LEASE_MS + 5_000;

let service: Service;
let survivor: Running;
let idOf: (key: string) => string;
const retried = (way: Way, point: ProbePoint) => `${way} ${point} retried`;
const left = (way: Way, point: ProbePoint) => `${way} ${point} left alone`;
/** The request body of each key. */
const bodies = new Map<string, Record<string, unknown>>();
const bodyOf = (key: string) => bodies.get(key)!;
/** A single statement has no points inside it. For crashes while it runs: crash-in-statement.spec.ts. */
const CASES = PROBE_POINTS.flatMap((point) => waysPast(point).map((way) => [way, point] as const));

beforeAll(async () => {
  service = await startService();
  survivor = await service.startApi();
  const account = await service.db.query(`SELECT id FROM accounts WHERE name = 'acme'`);
  idOf = (key) => deriveId('ch', account.rows[0].id, 'POST /charges', key);
  await crashEverywhere();
  await endLeasesOfTheDead();
});

/** One API process runs 34 concurrent charges, two for each case. One kill -9 interrupts all of them. */
async function crashEverywhere(): Promise<void> {
  const doomed = await service.startApiProcess({ diesWith: 2 * CASES.length });
  const sent = CASES.flatMap(([way, point]) =>
    [retried(way, point), left(way, point)].map(async (key) => {
      const { paymentMethod: payment_method = 'pm_card_visa' } = MATRIX[point];
      bodies.set(key, { payment_method, ...(await chargeOf(way, survivor.url, key)) });
      return charge(doomed.url, key, bodyOf(key), dieAt(point)).then(
        ({ text }) => text,
        () => 'no answer',
      );
    }),
  );
  expect(new Set(await Promise.all(sent))).toEqual(new Set(['no answer']));
  expect(await doomed.death).toBe('SIGKILL');
}

/** Leases end by themselves within the promised time; the test does not wait for that. */
async function endLeasesOfTheDead(): Promise<void> {
  const { rows } = await service.db.query<{ seconds: number }>(
    `SELECT EXTRACT(EPOCH FROM max(lease_expires_at) - clock_timestamp())::float8 AS seconds
     FROM idempotency_records WHERE state = 'in_progress'`,
  );
  expect(rows[0]!.seconds).toBeGreaterThan(0);
  expect(rows[0]!.seconds * 1000).toBeLessThan(LEASE_MS);
  await endLeases(service.db);
}

afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

describe('a kill -9 of the API', () => {
  test.each(CASES)(
    'while a charge written by %s is at %s leaves the rows and payments of the matrix',
    async (way, point) => {
      for (const key of [retried(way, point), left(way, point)]) {
        const { rows, paid } = MATRIX[point];
        const found = await lookUp(survivor.url, key);
        const charged = await getCharge(survivor.url, idOf(key));
        if (rows === 'none') {
          expect([found.status, charged.status]).toEqual([404, 404]);
        } else {
          const state = rows === 'settled' ? 'completed' : 'in_progress';
          const status = rows === 'settled' ? 'succeeded' : 'pending';
          expect(found.body).toMatchObject({ state, resource: { id: idOf(key) } });
          expect(charged.body).toMatchObject({ id: idOf(key), status });
        }
        expect(await paymentsOf(service.sandboxUrl, idOf(key))).toHaveLength(paid);
      }
    },
  );

  test.each(CASES)(
    'while a charge written by %s is at %s: a retry gets one charge',
    async (way, point) => {
      const key = retried(way, point);
      const truth = MATRIX[point];
      const retry = await chargeUntilAnswered(survivor.url, key, bodyOf(key));
      expect(retry).toMatchObject({ status: 201, body: { id: idOf(key), status: 'succeeded' } });
      // Either the request that died has reserved the record, or this retry does.
      expect('original-request-id' in retry.headers).toBe(truth.rows !== 'none');
      expect('idempotent-replayed' in retry.headers).toBe(truth.rows === 'settled');

      expect(await paymentsOf(service.sandboxUrl, idOf(key))).toHaveLength(1);
      expect((await lookUp(survivor.url, key)).body).toMatchObject({
        state: 'completed',
        status: 201,
        attempts: truth.rows === 'pending' ? 2 : 1,
        resource: { object: 'charge', id: idOf(key), url: `/charges/${idOf(key)}` },
      });
      expect((await getCharge(survivor.url, idOf(key))).text).toBe(retry.text);
      expect((await charge(survivor.url, key, bodyOf(key))).text).toBe(retry.text);
    },
  );
});

describe('a kill -9 of the API, then no retry', () => {
  beforeAll(async () => {
    await service.startWorker();
  });

  test.each(CASES)(
    'while a charge written by %s is at %s: the worker finishes the charge if it was reserved',
    async (way, point) => {
      const key = left(way, point);
      const truth = MATRIX[point];
      if (truth.rows === 'none') {
        expect((await lookUp(survivor.url, key)).status).toBe(404);
        expect((await getCharge(survivor.url, idOf(key))).status).toBe(404);
        expect(await paymentsOf(service.sandboxUrl, idOf(key))).toEqual([]);
      } else {
        const status = async () => (await getCharge(survivor.url, idOf(key))).body.status;
        await until(async () => (await status()) === 'succeeded', PROMISED_MS - LEASE_MS);
        expect((await lookUp(survivor.url, key)).body).toMatchObject({
          state: 'completed',
          status: 201,
          resource: { id: idOf(key) },
        });
        expect(await paymentsOf(service.sandboxUrl, idOf(key))).toHaveLength(1);
      }

      // A late retry gets this charge; if there is none, it makes one now.
      const late = await charge(survivor.url, key, bodyOf(key));
      expect(late).toMatchObject({ status: 201, body: { id: idOf(key), status: 'succeeded' } });
      expect('idempotent-replayed' in late.headers).toBe(truth.rows !== 'none');
      expect(await paymentsOf(service.sandboxUrl, idOf(key))).toHaveLength(1);
    },
  );
});
