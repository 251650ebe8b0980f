import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newKey, refund } from '../../../refunds/refunds.support.js';
import { expectCleanBooks } from '../../../support/books.js';
import { startSandbox } from '../../../support/internals.js';
import { getCharge, send } from '../../../support/raw-client.js';
import type { Service } from '../../../support/service.js';
import { until } from '../../../support/until.js';
import {
  accountOf,
  deliver,
  event,
  eventTypesOf,
  leavePending,
  notify,
  parked,
  paymentOf,
  SECRET,
  startListening,
  statesOf,
  statusOf,
} from '../incoming.support.js';
import { failAtProcessor, paid, refundInDashboard } from './at-processor.support.js';

/** Money that goes back without us: an operator refunds at the processor. */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

describe('a refund made at the processor', () => {
  test('is booked once, with its own id and event, however often and late it is reported', async () => {
    const { id, payment, refunded, refunds } = await paid(service);
    const elsewhere = await refundInDashboard(service, payment, 500);
    const news = event('refund.created', elsewhere);
    await Promise.all([
      notify(service.apiUrl, news),
      notify(service.apiUrl, news),
      notify(service.apiUrl, event('refund.updated', elsewhere)),
      notify(service.apiUrl, event('charge.refund.updated', elsewhere)),
      notify(
        service.apiUrl,
        event('charge.refunded', { payment_intent: payment, amount_refunded: 500 }),
      ),
    ]);
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual(['applied']);
    expect(await refunded()).toBe(500);
    expect(await refunds()).toMatchObject([
      {
        id: expect.stringMatching(/^re_[0-9a-v]{32}$/),
        charge: id,
        amount: 500,
        currency: 'eur',
        status: 'succeeded',
        reason: null,
        processor_reference: elsewhere.id,
      },
    ]);
    const [booked] = await refunds();
    expect(await eventTypesOf(service, booked!.id)).toEqual(['charge.refunded']);

    const rest = await refund(service.apiUrl, id, newKey());
    expect([rest.status, rest.body.amount]).toEqual([201, 700]);
    expect(await refunded()).toBe(1200);
  });

  test('is found by the amount on the processor’s charge, which since 2022 does not list its refunds', async () => {
    const { payment, refunded } = await paid(service);
    await refundInDashboard(service, payment, 300);
    await refundInDashboard(service, payment, 400);
    const object = { payment_intent: payment, amount_refunded: 700, metadata: {} };
    await notify(service.apiUrl, event('charge.refunded', object));
    expect(await refunded()).toBe(700);
  });

  test('of a charge whose answer was lost ends that charge first', async () => {
    const pending = await leavePending(service, newKey('lost'), 'losing');
    const { id: payment } = await paymentOf(service, pending);
    await notify(
      service.apiUrl,
      event('refund.created', await refundInDashboard(service, payment, 200)),
    );
    expect(await statusOf(service, pending.id)).toBe('succeeded');
    expect((await getCharge(service.apiUrl, pending.id)).body.amount_refunded).toBe(200);
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.succeeded']);
  });

  test('whose charge cannot be read at the processor is not lost: the notification is sent again', async () => {
    const pending = await leavePending(service, newKey('unasked'), 'losing');
    const { id: payment } = await paymentOf(service, pending);
    const news = JSON.stringify(
      event('refund.created', await refundInDashboard(service, payment, 200)),
    );
    service.gate.be('refusing');
    const refused = await deliver(service.apiUrl, news).finally(() => service.gate.be('open'));
    expect([refused.status, refused.body.code]).toEqual([503, 'processor_unavailable']);
    expect((await deliver(service.apiUrl, news)).status).toBe(200);
    expect((await getCharge(service.apiUrl, pending.id)).body.amount_refunded).toBe(200);
  });

  test('of another program’s payment is acknowledged and not stored', async () => {
    const form = 'amount=900&currency=eur&payment_method=pm_card_visa&confirm=true';
    const { body } = await send(`${service.sandboxUrl}/v1/payment_intents`, {
      method: 'POST',
      key: newKey('theirs'),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form,
    });
    const news = event('refund.created', await refundInDashboard(service, body.id, 300));
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual([]);
  });

  test('with another program’s metadata is booked as one without metadata', async () => {
    const { id, payment, refunds } = await paid(service);
    const account = await accountOf(service, id);
    const rma = await refundInDashboard(service, payment, 300, { refund: 'RMA-17' });
    const named = await refundInDashboard(service, payment, 200, {
      refund: 'r17',
      charge: 'order_5',
      account,
    });
    for (const elsewhere of [rma, named]) {
      const news = event('refund.created', elsewhere);
      expect(news.data.object.metadata).toHaveProperty('refund');
      await notify(service.apiUrl, news);
      expect(await statesOf(service, news.id)).toEqual(['applied']);
    }
    const booked = (await refunds()).map((each) => [each.amount, each.processor_reference]);
    expect(new Map(booked as [number, string][])).toEqual(
      new Map([
        [300, rma.id],
        [200, named.id],
      ]),
    );
    await expectCleanBooks(service);
  });

  test('that failed before we knew of it is booked as failed', async () => {
    const { payment, refunded, refunds } = await paid(service);
    const elsewhere = await refundInDashboard(service, payment, 500);
    await failAtProcessor(service, elsewhere.id);
    const object = { payment_intent: payment, amount_refunded: 500, metadata: {} };
    await notify(service.apiUrl, event('charge.refunded', object));
    const failed = { status: 'failed', failure_code: 'lost_or_stolen_card', amount: 500 };
    expect(await refunds()).toMatchObject([{ ...failed, processor_reference: elsewhere.id }]);
    expect(await refunded()).toBe(0);
  });

  test('in another currency is parked, not booked', async () => {
    const { id, payment, refunded } = await paid(service);
    const object = { id: 're_foreign', payment_intent: payment, amount: 5, status: 'succeeded' };
    await notify(service.apiUrl, event('refund.created', { ...object, currency: 'usd' }));
    expect(await refunded()).toBe(0);
    expect(await parked(service, id)).toMatchObject([{ reason: 'amount_mismatch' }]);
    await service.db.query(
      `DELETE FROM processor_events WHERE fact ->> 'reference' = 're_foreign'`,
    );
  });
});

test('the sandbox reports a refund made there, and one that failed, by itself', async () => {
  const teller = await startSandbox({
    databaseUrl: service.databaseUrl,
    webhook: {
      url: `${service.apiUrl}/webhooks/processor`,
      secret: SECRET,
      delayMs: 0,
      shuffleMs: 200,
      copies: 2,
    },
  });
  try {
    const elsewhere = await paid(service);
    await refundInDashboard(service, elsewhere.payment, 450);
    const bad = await paid(service, 'pm_card_refundFail');
    const { body } = await refund(service.apiUrl, bad.id, newKey(), { amount: 600 });
    expect(body.status).toBe('succeeded');
    await until(async () => (await elsewhere.refunded()) === 450);
    await until(async () => (await bad.refunds())[0]!.status === 'failed');
    expect(await bad.refunded()).toBe(0);
    await until(async () => {
      const { rows } = await service.db.query(
        'SELECT 1 FROM sandbox.events WHERE delivered_at IS NULL',
      );
      return rows.length === 0;
    });
  } finally {
    await teller.close();
  }
});
