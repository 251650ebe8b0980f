import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newKey, refund } from '../../../refunds/refunds.support.js';
import { expectCleanBooks } from '../../../support/books.js';
import { deriveId } from '../../../support/internals.js';
import { charge, getCharge, send } from '../../../support/raw-client.js';
import type { Service } from '../../../support/service.js';
import { until } from '../../../support/until.js';
import {
  accountOf,
  deliver,
  event,
  eventTypesOf,
  notify,
  parked,
  startListening,
  statesOf,
} from '../incoming.support.js';
import {
  asTheProcessorShows,
  failAtProcessor,
  paid,
  refundInDashboard,
} from './at-processor.support.js';

/** Refunds that change at the processor: their metadata is removed, or they fail after they had succeeded. */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

describe('a refund of ours whose metadata is removed at the processor', () => {
  /** It succeeded, 5.00, its answer was lost, and then its metadata was removed. */
  async function edited() {
    const of = await paid(service);
    const key = newKey();
    const again = (url = service.apiUrl) => refund(url, of.id, key, { amount: 500 });
    service.gate.be('losing');
    const refundId = String((await again()).body.refund);
    service.gate.be('open');
    const { rows } = await service.db.query<{ id: string }>(
      `UPDATE sandbox.refunds SET metadata = '{}' WHERE metadata ->> 'refund' = $1 RETURNING id`,
      [refundId],
    );
    return { ...of, again, refundId, reference: rows[0]!.id };
  }

  const wired = async (url: string) => (await send(url)).body;

  test('is not booked as another one while it is pending: the notification is sent again', async () => {
    const { payment, refundId, reference, again, refunds, refunded } = await edited();
    const news = [
      event('refund.updated', await asTheProcessorShows(service, reference)),
      event('charge.refunded', { payment_intent: payment, amount_refunded: 500 }),
    ];
    for (const each of news)
      expect(await deliver(service.apiUrl, JSON.stringify(each))).toMatchObject({
        status: 409,
        body: { code: 'payment_pending', resource: { id: refundId } },
      });
    expect(await again()).toMatchObject({
      status: 201,
      body: { id: refundId, processor_reference: reference },
    });
    for (const each of news) await notify(service.apiUrl, each);
    expect((await refunds()).map(({ id }) => id)).toEqual([refundId]);
    expect(await refunded()).toBe(500);
    expect(await eventTypesOf(service, refundId)).toEqual(['charge.refunded']);
  });

  test('counts once when the notification and its key arrive at the same time, at two processes', async () => {
    const { refundId, reference, again, refunds, refunded } = await edited();
    const second = await service.startApi();
    const news = JSON.stringify(
      event('refund.updated', await asTheProcessorShows(service, reference)),
    );
    const urls = [service.apiUrl, second.url];
    await Promise.all([
      ...urls.map((url) => again(url)),
      ...urls.map((url) => until(async () => (await deliver(url, news)).status === 200)),
    ]);
    await second.stop();
    expect(await refunds()).toMatchObject([{ id: refundId, processor_reference: reference }]);
    expect(await refunded()).toBe(500);
  });

  test('is found when the processor has forgotten its key, and nothing goes back twice', async () => {
    const { id, payment, refundId, reference, again } = await edited();
    await service.db.query('DELETE FROM sandbox.idempotency_keys');
    await service.db.query(
      `UPDATE refunds SET created_at = created_at - interval '1 day' WHERE id = $1`,
      [refundId],
    );
    expect(await again()).toMatchObject({ status: 201, body: { processor_reference: reference } });
    const { body } = await send(`${service.sandboxUrl}/v1/refunds?payment_intent=${payment}`);
    expect(body.data).toMatchObject([{ id: reference }]);
    expect((await getCharge(service.apiUrl, id)).body.amount_refunded).toBe(500);
  });

  /** A backup from before the refund, with the charge. */
  async function restoreOlderBackup(refundId: string): Promise<void> {
    await service.db.query('DELETE FROM refunds WHERE id = $1', [refundId]);
    await service.db.query('DELETE FROM idempotency_records WHERE resource_id = $1', [refundId]);
  }

  test('and which was booked as another one after a restore: our row takes over', async () => {
    const { id, reference, refundId, again, refunded } = await edited();
    await restoreOlderBackup(refundId);
    const news = event('refund.updated', await asTheProcessorShows(service, reference));
    await notify(service.apiUrl, news);
    const booked = deriveId('re', await accountOf(service, id), 'made at the processor', reference);
    expect(await wired(`${service.apiUrl}/refunds/${booked}`)).toMatchObject({
      status: 'succeeded',
      processor_reference: reference,
    });
    expect(await again()).toMatchObject({
      status: 201,
      body: { id: refundId, processor_reference: reference },
    });
    expect(await refunded()).toBe(500);
    expect(await wired(`${service.apiUrl}/refunds/${booked}`)).toMatchObject({
      status: 'failed',
      failure_code: 'counted_as_another_refund',
      processor_reference: null,
    });
    expect(await eventTypesOf(service, booked)).toEqual(['charge.refunded', 'refund.failed']);
    expect(await eventTypesOf(service, refundId)).toEqual(['charge.refunded']);
    await notify(service.apiUrl, { ...news, id: `${news.id}x` });
    expect(await refunded()).toBe(500);
  });

  test('and which failed at the bank after it was booked as another one also fails here', async () => {
    const { reference, refundId, again, refunded } = await edited();
    await restoreOlderBackup(refundId);
    await notify(
      service.apiUrl,
      event('refund.updated', await asTheProcessorShows(service, reference)),
    );
    await notify(service.apiUrl, event('refund.failed', await failAtProcessor(service, reference)));
    expect(await again()).toMatchObject({
      status: 402,
      body: { refund: refundId, failure_code: 'lost_or_stolen_card' },
    });
    expect(await refunded()).toBe(0);
  });
});

describe('a refund that fails after it had succeeded', () => {
  /** A succeeded refund of 5.00 through the API. */
  async function given() {
    const of = await paid(service);
    const key = newKey();
    const answer = await refund(service.apiUrl, of.id, key, { amount: 500 });
    expect(answer.status).toBe(201);
    const reference = answer.body.processor_reference as string;
    const show = async () => (await send(`${service.apiUrl}/refunds/${answer.body.id}`)).body;
    return { ...of, key, answer, reference, refundId: answer.body.id, show };
  }

  test('also fails here: its amount can be refunded again, and one event reports it', async () => {
    const { id, key, answer, reference, refundId, show, refunded } = await given();
    const succeeded = await asTheProcessorShows(service, reference);
    const failed = await failAtProcessor(service, reference);
    const news = event('refund.failed', failed);
    const again = event('refund.updated', failed);
    await Promise.all([news, again, news].map((each) => notify(service.apiUrl, each)));
    expect(await show()).toMatchObject({ status: 'failed', failure_code: 'lost_or_stolen_card' });
    expect(await refunded()).toBe(0);
    expect(await eventTypesOf(service, refundId)).toEqual(['charge.refunded', 'refund.failed']);
    expect(await statesOf(service, news.id)).toEqual(['applied']);
    const { rows } = await service.db.query(
      `SELECT data -> 'object' AS object FROM events WHERE cause = $1 AND type = 'refund.failed'`,
      [refundId],
    );
    expect(rows[0].object).toMatchObject({ id: refundId, status: 'failed', amount: 500 });

    // A late notification of its success: the processor is asked for the current state.
    const late = event('refund.created', succeeded);
    await notify(service.apiUrl, late);
    expect(await statesOf(service, late.id)).toEqual(['applied']);
    expect((await show()).status).toBe('failed');
    expect(await parked(service, id)).toEqual([]);
    // The stored answer is a snapshot. A replay does not refund again; a new key does.
    expect((await refund(service.apiUrl, id, key, { amount: 500 })).text).toBe(answer.text);
    expect((await refund(service.apiUrl, id, newKey())).body.amount).toBe(1200);
  });

  test('that was made at the processor is never counted if its failure is reported first', async () => {
    const { payment, refunded, refunds } = await paid(service);
    const elsewhere = await refundInDashboard(service, payment, 500);
    const failed = await failAtProcessor(service, elsewhere.id);
    await notify(service.apiUrl, event('refund.failed', failed));
    await notify(service.apiUrl, event('refund.created', elsewhere));
    expect(await refunded()).toBe(0);
    expect(await refunds()).toMatchObject([
      { status: 'failed', processor_reference: elsewhere.id },
    ]);
  });

  test('leaves the order paid', async () => {
    const order = newKey('order');
    const items = [{ sku: 'cup', quantity: 1, unit_amount: 1200 }];
    const body = { currency: 'eur', items };
    await send(`${service.apiUrl}/orders/${order}`, { method: 'PUT', body });
    const { body: made } = await charge(service.apiUrl, newKey(), { order });
    const back = await refund(service.apiUrl, made.id, newKey());
    const failed = await failAtProcessor(service, back.body.processor_reference as string);
    await notify(service.apiUrl, event('refund.failed', failed));
    const { body: shown } = await send(`${service.apiUrl}/orders/${order}`);
    expect([shown.status, shown.charge]).toEqual(['paid', made.id]);
  });

  test('and that an operator then repeats at the processor: both are booked', async () => {
    const { payment, refunded, refunds } = await paid(service);
    const first = await refundInDashboard(service, payment);
    await notify(service.apiUrl, event('refund.created', first));
    expect(await refunded()).toBe(1200);
    await failAtProcessor(service, first.id); // without a notification
    await notify(
      service.apiUrl,
      event('refund.created', await refundInDashboard(service, payment, 800)),
    );
    expect(await refunded()).toBe(800);
    expect((await refunds()).map(({ status }) => status).sort()).toEqual(['failed', 'succeeded']);
  });
});
