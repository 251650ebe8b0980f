import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { PAUSES_MS, pauseAfter } from '../../../src/webhooks/outgoing/retry-schedule.js';
import { drained, skipPauses } from '../../effects/effects.support.js';
import { expectCleanBooks } from '../../support/books.js';
import { send } from '../../support/raw-client.js';
import { startReceiver, type Receiver } from '../../support/receiver.js';
import { startService, type Running, type Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import {
  attemptsOf,
  deliveriesOf,
  firstAttempt,
  forgetEndpoints,
  happen,
  LATER,
  newEndpoint,
  type DeliveryRow,
  type TestEndpoint,
} from '../../webhooks/webhooks.support.js';

/** What follows from the receiver's answer to an attempt: the end of the delivery, or a retry and its time. */
let service: Service;
let worker: Running;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  service = await startService();
  worker = await service.startWorker();
});
beforeEach(() => forgetEndpoints(service.db));
afterAll(() => expectCleanBooks(service));
afterAll(async () => {
  await service.stop();
  await receiver.stop();
});

const STATUS =
  (status: number, headers = {}) =>
  (response: ServerResponse) =>
    response.writeHead(status, headers).end();

/** Waits for an endpoint's one delivery to have this many attempts. */
async function attempted(endpoint: TestEndpoint, count = 1): Promise<DeliveryRow> {
  let delivery: DeliveryRow | undefined;
  await until(async () => {
    [delivery] = await deliveriesOf(service.db, endpoint);
    return (
      delivery?.attempts === count && (delivery.status !== 'pending' || delivery.pause !== null)
    );
  });
  return delivery!;
}

/** Measured with the system clock, like PostgreSQL's times. */
const secondsSince = (start: number) => (Date.now() - start) / 1000;

describe('a delivery', () => {
  test.each([200, 201, 204, 299])('that is answered with %i has succeeded', async (status) => {
    const endpoint = await newEndpoint(service, receiver);
    receiver.answer(endpoint.path, STATUS(status));
    await happen(service);
    expect(await attempted(endpoint)).toMatchObject({ status: 'succeeded', pause: null });
    await drained(service.db);
  });

  test.each([300, 301, 302, 303, 307, 308, 400, 401, 404, 429, 500, 503])(
    'that is answered with %i is retried at the same URL',
    async (status) => {
      const endpoint = await newEndpoint(service, receiver);
      const location = `${receiver.url}/elsewhere`;
      receiver.answer(endpoint.path, STATUS(status, { location, ...LATER }));
      await happen(service);
      const delivery = await attempted(endpoint);
      expect(delivery.status).toBe('pending');
      expect(delivery.pause).toBeGreaterThan(1);
      expect(await attemptsOf(service.db, delivery.id)).toEqual([
        { number: 1, response_status: status, error: null },
      ]);
      receiver.answer(endpoint.path, STATUS(200));
      await skipPauses(service.db);
      expect(await attempted(endpoint, 2)).toMatchObject({ status: 'succeeded' });
      const ids = receiver.at(endpoint.path).map(({ headers }) => headers['webhook-id']);
      expect(new Set(ids).size).toBe(1);
      expect(receiver.at('/elsewhere')).toEqual([]);
    },
  );

  test('that never gets 2xx is retried for three days, with growing pauses and jitter', async () => {
    const endpoint = await newEndpoint(service, receiver);
    receiver.answer(endpoint.path, STATUS(500, LATER));
    await happen(service);
    expect((await attempted(endpoint)).status).toBe('pending');
    // Our first pause may end before the test reads it.
    expect([0, 1].map((random) => pauseAfter(1, 0, random))).toEqual([3_750, 6_250]);
    receiver.answer(endpoint.path, STATUS(500));
    for (const [i, pauseMs] of PAUSES_MS.slice(1).entries()) {
      const start = Date.now();
      await skipPauses(service.db);
      const { status, pause } = await attempted(endpoint, i + 2);
      expect(status).toBe('pending');
      expect(pause! + secondsSince(start)).toBeGreaterThan((pauseMs / 1000) * 0.75);
      expect(pause).toBeLessThanOrEqual((pauseMs / 1000) * 1.25);
    }
    await skipPauses(service.db);
    const last = await attempted(endpoint, PAUSES_MS.length + 1);
    expect(last).toMatchObject({ status: 'failed', pause: null });
    expect(await attemptsOf(service.db, last.id)).toHaveLength(PAUSES_MS.length + 1);
    await drained(service.db);
    const days = PAUSES_MS.reduce((sum, ms) => sum + ms, 0) / 86_400_000;
    expect(days).toBeCloseTo(3, 0);
    expect(new Set(Array.from({ length: 20 }, () => pauseAfter(3))).size).toBe(20);
    const [shown] = (await send(`${service.apiUrl}/webhook-endpoints/${endpoint.id}/deliveries`))
      .body.data as object[];
    expect(shown).toMatchObject({ status: 'failed', attempts: 12, response_status: 500 });
  });

  test.each([
    ['seconds', () => '3600', 3600, 3600],
    ['a date', () => new Date(Date.now() + 7_200_000).toUTCString(), 7199, 7200], // an HTTP date has only whole seconds
    ['more than a day', () => '999999', 86_400, 86_400],
    ['less than our own pause', () => '0', 22.5, 37.5],
    ['nonsense', () => 'soon', 22.5, 37.5],
  ])('waits for Retry-After: %s', async (_what, value, least, most) => {
    const endpoint = await newEndpoint(service, receiver);
    receiver.answer(endpoint.path, STATUS(503, LATER));
    await happen(service);
    await attempted(endpoint);
    // At the second attempt, because our own pause after the first may end before the test reads it.
    const start = Date.now();
    receiver.answer(endpoint.path, STATUS(503, { 'retry-after': value() }));
    await skipPauses(service.db);
    const { pause } = await attempted(endpoint, 2);
    expect(pause! + secondsSince(start)).toBeGreaterThan(least);
    expect(pause).toBeLessThanOrEqual(most);
    receiver.answer(endpoint.path, STATUS(200));
    await skipPauses(service.db);
    await drained(service.db);
  });

  test('that gets no answer is ended before its lease expires, and retried', async () => {
    await worker.stop();
    const impatient = await service.startWorker({ WEBHOOK_TIMEOUT_MS: '1000' });
    const silent = await newEndpoint(service, receiver);
    const answer = receiver.hold(silent.path);
    await happen(service);
    const unanswered = { number: 1, response_status: null, error: 'no answer in time' };
    expect(await firstAttempt(service.db, silent)).toEqual(unanswered);
    expect(await deliveriesOf(service.db, silent)).toMatchObject([{ status: 'pending' }]);
    answer();
    await impatient.stop();
    worker = await service.startWorker();
    await skipPauses(service.db);
    await drained(service.db);
  });

  test('ends with the head of the answer, however long or slow the body', async () => {
    const endless =
      (status: number, headers = {}) =>
      (response: ServerResponse) =>
        response.writeHead(status, headers).end('x'.repeat(1_000_000));
    const unfinished =
      (status: number, headers = {}) =>
      (response: ServerResponse) =>
        response.writeHead(status, headers).write('x');
    const ends = [
      [endless(200), 200, 'succeeded'],
      [unfinished(201), 201, 'succeeded'],
      [endless(410), 410, 'failed'],
      [unfinished(503, LATER), 503, 'pending'],
    ] as const;
    const endpoints: TestEndpoint[] = [];
    for (const [answer] of ends) {
      const endpoint = await newEndpoint(service, receiver);
      receiver.answer(endpoint.path, answer);
      endpoints.push(endpoint);
    }
    await happen(service);
    for (const [i, [, response_status, status]] of ends.entries()) {
      const delivery = await attempted(endpoints[i]!);
      expect(delivery.status).toBe(status);
      if (status === 'pending') expect(delivery.pause).toBeGreaterThan(3000);
      expect(await attemptsOf(service.db, delivery.id)).toEqual([
        { number: 1, response_status, error: null },
      ]);
    }
    const gone = await send(`${service.apiUrl}/webhook-endpoints/${endpoints[2]!.id}`);
    expect(gone.body.status).toBe('disabled');
    receiver.answer(endpoints[3]!.path, STATUS(200));
    await skipPauses(service.db);
    await drained(service.db);
  });

  test('that is answered with 410 ends, and so do all others to that endpoint', async () => {
    const endpoint = await newEndpoint(service, receiver);
    receiver.answer(endpoint.path, STATUS(500, LATER));
    await happen(service);
    const waiting = await attempted(endpoint);
    receiver.answer(endpoint.path, STATUS(410));
    await happen(service);
    await until(async () =>
      (await deliveriesOf(service.db, endpoint)).some(({ status }) => status === 'failed'),
    );
    const { body } = await send(`${service.apiUrl}/webhook-endpoints/${endpoint.id}`);
    expect(body.status).toBe('disabled');
    await skipPauses(service.db);
    await happen(service);
    await drained(service.db);
    const all = await deliveriesOf(service.db, endpoint);
    expect(all.map(({ status }) => status)).toEqual(['failed', 'failed']); // the third was never planned
    expect(await attemptsOf(service.db, waiting.id)).toHaveLength(1);
    expect(receiver.at(endpoint.path)).toHaveLength(2);
  });

  test('to an endpoint that was deleted meanwhile is not attempted', async () => {
    const endpoint = await newEndpoint(service, receiver);
    receiver.answer(endpoint.path, STATUS(500, LATER));
    await happen(service);
    await attempted(endpoint);
    await send(`${service.apiUrl}/webhook-endpoints/${endpoint.id}`, { method: 'DELETE' });
    await happen(service); // later events are not planned
    await skipPauses(service.db);
    await drained(service.db);
    expect(await deliveriesOf(service.db, endpoint)).toMatchObject([
      { status: 'failed', attempts: 1 },
    ]);
    expect(receiver.at(endpoint.path)).toHaveLength(1);
  });
});
