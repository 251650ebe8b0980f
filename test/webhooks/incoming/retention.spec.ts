import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks } from '../../support/books.js';
import { charge, getCharge, send } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';
import { expireIn } from '../../support/time.js';
import { until } from '../../support/until.js';
import {
  accountOf,
  event,
  eventTypesOf,
  intent,
  notify,
  parked,
  parkedInMetrics,
  paymentOf,
  startListening,
  statesOf,
} from './incoming.support.js';
import {
  chargeThatNeverAppears,
  demoAccount,
  endCharges,
  notifyBeforeCharge,
  receivedAgo,
  startWorkerWithoutProcessor,
  untilRemoved,
  untilState,
} from './waiting.support.js';

/** A notification is kept for 30 days. If still not applied, it is parked if its object exists, otherwise removed. */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterEach(async () => {
  await service.stopWorkers();
  service.gate.be('open');
});
afterAll(async () => {
  await endCharges(service);
  await expectCleanBooks(service);
});
afterAll(() => service.stop());

describe('a notification', () => {
  test('of a charge that never appears is removed after thirty days', async () => {
    const missing = await chargeThatNeverAppears(service);
    const { young } = await oldOneRemoved(() => intent(missing));
    expect(await statesOf(service, young.id)).toEqual(['waiting']);
    await service.db.query('DELETE FROM processor_events WHERE id = $1', [young.id]);
  });

  test('that was applied is kept for thirty days, as long as it may be delivered again', async () => {
    const { body } = await charge(service.apiUrl, 'remembered');
    const paid = await paymentOf(service, body);
    const { young, old } = await oldOneRemoved(() => paid);
    expect(await statesOf(service, young.id)).toEqual(['applied']);
    // A later repeat would change nothing.
    const before = (await getCharge(service.apiUrl, body.id)).text;
    await notify(service.apiUrl, old);
    expect((await getCharge(service.apiUrl, body.id)).text).toBe(before);
    expect(await eventTypesOf(service, body.id)).toEqual(['charge.succeeded']);
  });

  /** Two notifications of the payment, from almost and from more than 30 days ago. The worker removes the older one. */
  async function oldOneRemoved(payment: () => object) {
    const [young, old] = [
      event('payment_intent.succeeded', payment()),
      event('payment_intent.succeeded', payment()),
    ];
    for (const each of [young, old]) await notify(service.apiUrl, each);
    await receivedAgo(service, young.id, '29 days 23 hours 50 minutes');
    await receivedAgo(service, old.id, '30 days 1 second');
    await startWorkerWithoutProcessor(service);
    await untilRemoved(service, old.id);
    return { young, old };
  }

  test('that could not be applied for thirty days is parked and counted', async () => {
    const { pending, early, restore } = await notifyBeforeCharge(service, 'never applied');
    await service.db.query(
      `UPDATE processor_events SET fact = (fact::jsonb || '{"answer":{"kind":"unknown"}}')::json WHERE id = $1`,
      [early.id],
    );
    const [before, list] = [await parkedInMetrics(service), await parked(service, pending.id)];
    await restore();
    await receivedAgo(service, early.id, '30 days 1 second');
    await startWorkerWithoutProcessor(service);
    await until(async () => (await statesOf(service, early.id))[0] !== 'waiting');
    expect(await statesOf(service, early.id)).toEqual(['parked']);
    const { id: reference, amount } = early.data.object;
    expect(await parked(service, pending.id)).toEqual([
      ...list,
      { reference, reason: 'never_applied', amount: String(amount) },
    ]);
    expect(await parkedInMetrics(service)).toBe(before + 1);
  });

  test('that is too old is parked, even if an older one of another account cannot be parked', async () => {
    const { body } = await charge(service.apiUrl, 'behind a bad one');
    const of = { id: body.id, account: await demoAccount(service) };
    const old = event('payment_intent.succeeded', intent(of));
    const theirs = await charge(service.apiUrl, 'bad one', {}, { apiKey: 'sk_test_globex' });
    const bad = { id: theirs.body.id, account: await accountOf(service, theirs.body.id) };
    await leaveWaiting(old, of);
    await leaveWaiting(event('payment_intent.succeeded', intent(bad), 'evt_bad'), bad);
    await service.db.query(
      `UPDATE processor_events SET fact = '{}', received_at = received_at - interval '1 hour' WHERE id = 'evt_bad'`,
    );
    await startWorkerWithoutProcessor(service);
    await untilState(service, old.id, 'parked');
    expect(await parked(service, of.id)).toMatchObject([{ reason: 'never_applied' }]);
    expect(await statesOf(service, 'evt_bad')).toEqual(['waiting']);
    await service.db.query(`DELETE FROM processor_events WHERE id = 'evt_bad'`);
  });

  test('that could not be applied to a failed charge: its client may not use a new key', async () => {
    const method = { payment_method: DECLINED };
    const { body } = await charge(service.apiUrl, 'failed and never applied', method);
    const of = { id: String(body.charge), account: await demoAccount(service) };
    const old = event('payment_intent.succeeded', intent(of));
    await leaveWaiting(old, of);
    await startWorkerWithoutProcessor(service);
    await untilState(service, old.id, 'parked');
    await letExpire('failed and never applied', 'charges', of.id);
    expect(await charge(service.apiUrl, 'failed and never applied', method)).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no', resource: { id: of.id } },
    });
  });

  test('that could not be applied to a failed refund: its client may not use a new key', async () => {
    const { body } = await charge(service.apiUrl, 'paid and refunded in vain');
    const url = `${service.apiUrl}/charges/${body.id}/refunds`;
    const again = () => send(url, { key: 'in vain', body: { amount: 500 } });
    service.gate.be('refusing');
    const id = String((await again()).body.refund);
    service.gate.be('open');
    const account = await demoAccount(service);
    const object = { id: 're_inVain', object: 'refund', amount: 500, currency: 'eur' };
    const metadata = { refund: id, charge: body.id, account };
    const failed = { ...object, metadata, status: 'failed', failure_reason: 'lost_or_stolen_card' };
    await notify(service.apiUrl, event('refund.failed', failed));
    expect((await again()).status).toBe(402);
    const old = event('refund.updated', object);
    await leaveWaiting(old, { account, charge: body.id, id });
    await startWorkerWithoutProcessor(service);
    await untilState(service, old.id, 'parked');
    await letExpire('in vain', 'refunds', id);
    expect(await again()).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no', resource: { id } },
    });
  });
});

const DECLINED = 'pm_card_visa_chargeDeclined';

/** A notification of 31 days ago that cannot be applied: it reports no final state. */
async function leaveWaiting(
  { id, type, data }: ReturnType<typeof event>,
  of: { account: string; charge?: string; id: string },
): Promise<void> {
  const { id: reference, amount, currency } = data.object;
  const [charge, refund] = of.charge === undefined ? [of.id] : [of.charge, of.id];
  const fact = { id, type, account: of.account, charge, refund, reference, amount, currency };
  await service.db.query(
    `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact, received_at)
     VALUES ('sandbox', $1, $2, $3, $4, $5, 'waiting', $6, now() - interval '31 days')`,
    [id, type, of.account, charge, refund ?? null, { ...fact, answer: { kind: 'unknown' } }],
  );
}

/** A key whose stored answer has expired. */
async function letExpire(key: string, table: 'charges' | 'refunds', id: string): Promise<void> {
  await service.db.query(
    `UPDATE ${table} SET settled_at = settled_at - interval '8 days' WHERE id = $1`,
    [id],
  );
  await expireIn(service.db, key, -1);
}
