import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks } from '../../../support/books.js';
import { charge, getCharge, send } from '../../../support/raw-client.js';
import type { Running, Service } from '../../../support/service.js';
import { event, eventTypesOf, notify, startListening, statesOf } from '../incoming.support.js';
import {
  oneRound,
  restoreOlderBackup,
  startWorkerWithoutProcessor,
  untilState,
} from '../waiting.support.js';

/** Notifications about refunds that were made through the API. */
let service: Service;
let worker: Running | undefined;
beforeAll(async () => {
  service = await startListening();
});
afterEach(async () => {
  await worker?.stop();
  worker = undefined;
  service.gate.be('open');
});
afterAll(() => service.stop());

describe('a refund whose answer was lost', () => {
  afterAll(() => expectCleanBooks(service));

  /** It succeeded at the processor, 5.00, and is pending here. */
  async function leaveRefundPending(key: string) {
    const { body } = await charge(service.apiUrl, `paid for ${key}`);
    service.gate.be('losing');
    const url = `${service.apiUrl}/charges/${body.id}/refunds`;
    const reply = await send(url, { key, body: { amount: 500 } });
    service.gate.be('open');
    expect(reply.status).toBe(504);
    const id = String(reply.body.refund);
    const page = await send(`${service.sandboxUrl}/v1/refunds?limit=100`);
    const all = page.body.data as { metadata: { refund?: string } }[];
    const object = all.find(({ metadata }) => metadata.refund === id)!;
    return { id, chargeId: body.id, url, object };
  }

  test('is settled by its notification, and its client gets that answer', async () => {
    const { id, chargeId, url, object } = await leaveRefundPending('lost refund');
    const news = event('refund.created', object);
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual(['applied']);
    const retry = await send(url, { key: 'lost refund', body: { amount: 500 } });
    expect(retry).toMatchObject({ status: 201, body: { id, status: 'succeeded' } });
    expect(retry.headers['idempotent-replayed']).toBe('true');
    expect((await getCharge(service.apiUrl, chargeId)).body.amount_refunded).toBe(500);
    expect(await eventTypesOf(service, id)).toEqual(['charge.refunded']);
    // A later notification changes nothing.
    const later = event('refund.updated', object);
    await notify(service.apiUrl, later);
    expect(await statesOf(service, later.id)).toEqual(['applied']);
    expect((await getCharge(service.apiUrl, chargeId)).body.amount_refunded).toBe(500);
  });

  test('and whose notification arrives before its row is settled when the row exists', async () => {
    const { id, chargeId, object } = await leaveRefundPending('early refund');
    const restore = await restoreOlderBackup(service, 'refunds', id);
    const early = event('refund.created', object);
    await notify(service.apiUrl, early);
    worker = await startWorkerWithoutProcessor(service);
    await oneRound(service);
    expect(await statesOf(service, early.id)).toEqual(['waiting']);
    await restore();
    await untilState(service, early.id, 'applied');
    expect((await getCharge(service.apiUrl, chargeId)).body.amount_refunded).toBe(500);
  });

  test('is not settled by a notification that it is pending', async () => {
    const { id, object } = await leaveRefundPending('on its way');
    const news = event('refund.created', { ...object, status: 'pending' });
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual([]);
    expect((await send(`${service.apiUrl}/refunds/${id}`)).body.status).toBe('pending');
    await notify(service.apiUrl, event('refund.updated', object));
    expect((await send(`${service.apiUrl}/refunds/${id}`)).body.status).toBe('succeeded');
  });
});
