import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { addJob, drained, skipPauses } from '../../effects/effects.support.js';
import { expectCleanBooks } from '../../support/books.js';
import { send } from '../../support/raw-client.js';
import { startReceiver, type Receiver } from '../../support/receiver.js';
import { startService, type Running, type Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import {
  deliveriesOf,
  forgetEndpoints,
  happen,
  newEndpoint,
} from '../../webhooks/webhooks.support.js';

/** Each event reaches the endpoints that subscribed to it. */
let service: Service;
let worker: Running;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  service = await startService({ env: { WEBHOOK_CONCURRENCY: '8' } });
  worker = await service.startWorker();
});
beforeEach(() => forgetEndpoints(service.db));
afterAll(() => expectCleanBooks(service));
afterAll(async () => {
  await service.stop();
  await receiver.stop();
});

/** Resolves when no delivery is pending, including those that wait for their time. */
function allEnded(): Promise<void> {
  return until(async () => {
    await skipPauses(service.db);
    const { rows } = await service.db.query(
      `SELECT 1 FROM webhook_deliveries WHERE status = 'pending' LIMIT 1`,
    );
    return rows.length === 0;
  });
}

describe('an event', () => {
  test('is delivered, as the API shows it, to the endpoints that subscribed to it', async () => {
    const [wants, wantsAll, wantsOther] = [
      await newEndpoint(service, receiver, ['charge.failed', 'charge.succeeded']),
      await newEndpoint(service, receiver, ['*']),
      await newEndpoint(service, receiver, ['charge.failed', 'order.paid']),
    ];
    const event = await happen(service);
    await drained(service.db);
    for (const { path } of [wants, wantsAll]) {
      expect(receiver.at(path)).toHaveLength(1);
      const [{ headers, body }] = receiver.at(path) as [(typeof receiver.journal)[0]];
      expect(headers).toMatchObject({ 'webhook-id': event, 'content-type': 'application/json' });
      expect(body).toBe((await send(`${service.apiUrl}/events/${event}`)).text);
    }
    expect(receiver.at(wantsOther.path)).toEqual([]);
  });

  test('of another account is not delivered', async () => {
    const endpoint = await newEndpoint(service, receiver, ['*']);
    await send(`${service.apiUrl}/charges`, {
      key: randomUUID(),
      apiKey: 'sk_test_globex',
      body: { amount: 1200, currency: 'eur', payment_method: 'pm_card_visa' },
    });
    await drained(service.db);
    expect(receiver.at(endpoint.path)).toEqual([]);
  });

  test('relayed twice, and fanned out again by a job, is delivered once', async () => {
    const endpoint = await newEndpoint(service, receiver);
    const event = await happen(service);
    await drained(service.db);
    await addJob(service.db, 'fan-out-event', { account: await accountOf(event), event });
    await service.db.query('UPDATE events SET relayed_at = NULL WHERE id = $1', [event]);
    await drained(service.db);
    expect(receiver.at(endpoint.path)).toHaveLength(1);
    expect(await deliveriesOf(service.db, endpoint)).toHaveLength(1);
  });

  test('is delivered twice if its end is forgotten (control)', async () => {
    const endpoint = await newEndpoint(service, receiver);
    await happen(service);
    await drained(service.db);
    await service.db.query(
      `UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now() WHERE endpoint_id = $1`,
      [endpoint.id],
    );
    await drained(service.db);
    expect(receiver.at(endpoint.path)).toHaveLength(2);
  });

  async function accountOf(event: string) {
    const { rows } = await service.db.query<{ account_id: string }>(
      'SELECT account_id FROM events WHERE id = $1',
      [event],
    );
    return rows[0]!.account_id;
  }
});

describe('a resend', () => {
  test('delivers again with the same webhook-id, once for each key', async () => {
    const endpoint = await newEndpoint(service, receiver);
    const event = await happen(service);
    await drained(service.db);
    const resend = (key: string) =>
      send(`${service.apiUrl}/events/${event}/resend`, { method: 'POST', key });
    const first = await resend('resend');
    expect(first).toMatchObject({ status: 200, body: { id: event } });
    expect((await resend('resend')).text).toBe(first.text);
    await drained(service.db);
    const got = receiver.at(endpoint.path);
    expect(got.map(({ headers }) => headers['webhook-id'])).toEqual([event, event]);
    expect(got[1]?.body).toBe(got[0]?.body);
    const shown = await send(`${service.apiUrl}/webhook-endpoints/${endpoint.id}/deliveries`);
    expect(shown.body.data).toHaveLength(2);
    expect((await resend('again')).status).toBe(200);
    await receiver.received(endpoint.path, 3);
    expect(
      (await send(`${service.apiUrl}/events/evt_no/resend`, { method: 'POST', key: 'no' })).status,
    ).toBe(404);
  });
});

describe('a delivery', () => {
  test('that is in flight when its endpoint is deleted ends with the receiver’s answer', async () => {
    const [takes, refuses] = [
      await newEndpoint(service, receiver),
      await newEndpoint(service, receiver),
    ];
    const answer = receiver.hold(takes.path);
    receiver.hold(refuses.path);
    await happen(service);
    for (const { id, path } of [takes, refuses]) {
      await receiver.received(path);
      await send(`${service.apiUrl}/webhook-endpoints/${id}`, { method: 'DELETE' });
    }
    answer();
    receiver.drop(refuses.path, 0);
    await allEnded();
    expect(await deliveriesOf(service.db, takes)).toMatchObject([{ status: 'succeeded' }]);
    expect(await deliveriesOf(service.db, refuses)).toMatchObject([
      { status: 'failed', attempts: 1 },
    ]);
  });
});

test('slow endpoints do not delay others, and get all their deliveries eventually', async () => {
  const hanging = [await newEndpoint(service, receiver), await newEndpoint(service, receiver)];
  const quick = await newEndpoint(service, receiver);
  const answers = hanging.map(({ path }) => receiver.hold(path));
  const events: string[] = [];
  // All in parallel: a hanging delivery ends after 15 s, and the next one would be sent.
  await worker.stop();
  for (let i = 0; i < 30; i++) events.push(await happen(service));
  await service.startWorker({ WEBHOOK_TIMEOUT_MS: '15000' });
  await receiver.received(quick.path, 30);
  // Without shares they would take all eight slots. Waiting for a slot is not an attempt.
  const open = hanging.flatMap(({ path }) => receiver.at(path));
  expect(open.length).toBeLessThanOrEqual(4);
  const planned = [];
  for (const endpoint of hanging) planned.push(...(await deliveriesOf(service.db, endpoint)));
  expect(planned).toHaveLength(60);
  expect(planned.reduce((sum, { attempts }) => sum + attempts, 0)).toBeLessThanOrEqual(4);
  answers.forEach((answer) => answer());
  await allEnded();
  for (const { path } of hanging) {
    const got = receiver.at(path).map(({ headers }) => headers['webhook-id']);
    expect(got.sort()).toEqual([...events].sort());
  }
});
