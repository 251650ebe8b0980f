import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks } from '../../../support/books.js';
import { charge, getCharge, send } from '../../../support/raw-client.js';
import type { Service } from '../../../support/service.js';
import { expireIn } from '../../../support/time.js';
import {
  accountOf,
  event,
  eventTypesOf,
  expectParked,
  notify,
  startListening,
  statesOf,
} from '../incoming.support.js';
import {
  oneRound,
  restoreOlderBackup,
  startWorkerWithoutProcessor,
  untilState,
} from '../waiting.support.js';
import { paid } from './at-processor.support.js';

/** Notifications about refunds that were made through the API. */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterEach(async () => {
  await service.stopWorkers();
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
    await startWorkerWithoutProcessor(service);
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

describe('a refund is parked, counted and not applied', () => {
  type Status = 'pending' | 'succeeded' | 'failed';

  /** A refund of 5.00 through the API, in that state, and its object at the processor. */
  async function refund(key: string, status: Status) {
    const { id: chargeId, refunded } = await paid(service);
    const account = await accountOf(service, chargeId);
    service.gate.be(status === 'succeeded' ? 'open' : 'refusing');
    const url = `${service.apiUrl}/charges/${chargeId}/refunds`;
    const { body } = await send(url, { key, body: { amount: 500 } });
    service.gate.be('open');
    const id = (body.refund as string | undefined) ?? body.id;
    const object = {
      id: body.processor_reference ?? `re_${key.replaceAll(' ', '')}`,
      object: 'refund',
      amount: 500,
      currency: 'eur',
      status: 'succeeded',
      metadata: { refund: id, charge: chargeId, account },
    };
    if (status === 'failed') {
      const failure = { ...object, status, failure_reason: 'lost_or_stolen_card' };
      await notify(service.apiUrl, event('refund.failed', failure));
    }
    const state = async () => (await send(`${service.apiUrl}/refunds/${id}`)).body.status;
    expect(await state()).toBe(status);
    return { id, chargeId, object, state, refunded };
  }

  test.each<[string, object]>([
    ['another amount', { amount: 499 }],
    ['another currency', { currency: 'usd' }],
  ])('when it is of %s', async (what, changes) => {
    const { chargeId, object, state, refunded } = await refund(`of ${what}`, 'pending');
    const news = event('refund.updated', { ...object, ...changes });
    await expectParked(service, news, chargeId, 'amount_mismatch');
    expect([await state(), await refunded()]).toEqual(['pending', 0]);
  });

  test('if it succeeds after it has failed', async () => {
    const { chargeId, object, state, refunded } = await refund('risen', 'failed');
    const news = event('refund.updated', object);
    await expectParked(service, news, chargeId, 'refund_succeeded_after_failed');
    expect([await state(), await refunded()]).toEqual(['failed', 0]);
    // The money may have moved, so the answer offers no new key.
    await expireIn(service.db, 'risen', -1);
    const url = `${service.apiUrl}/charges/${chargeId}/refunds`;
    expect(await send(url, { key: 'risen', body: { amount: 500 } })).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no' },
    });
  });

  test('if it is a second one with the same name', async () => {
    const { chargeId, object, refunded } = await refund('second refund', 'succeeded');
    const news = event('refund.created', { ...object, id: 're_theSecond' });
    await expectParked(service, news, chargeId, 'second_refund');
    expect(await refunded()).toBe(500);
  });

  test('but the failure of a pending one ends it, and its client gets that answer', async () => {
    const { id, chargeId, state } = await refund('fails', 'failed');
    expect(await state()).toBe('failed');
    const retry = await send(`${service.apiUrl}/charges/${chargeId}/refunds`, {
      key: 'fails',
      body: { amount: 500 },
    });
    expect(retry).toMatchObject({
      status: 402,
      body: { code: 'refund_failed', failure_code: 'lost_or_stolen_card', refund: id },
    });
  });
});
