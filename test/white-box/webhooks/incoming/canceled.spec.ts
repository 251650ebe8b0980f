import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { StripeProcessor } from '../../../../src/processor/stripe-processor.js';
import { expectCleanBooks, paymentsOf } from '../../../support/books.js';
import { charge, getCharge, send } from '../../../support/raw-client.js';
import type { Service } from '../../../support/service.js';
import { age, forgetAtProcessor } from '../../../support/time.js';
import {
  getOrder,
  getProduct,
  newId,
  putOrder,
  putProduct,
} from '../../../orders/orders.support.js';
import {
  accountOf,
  declined,
  event,
  intent,
  leavePending,
  parked,
  paymentOf,
  startListening,
  statesOf,
  statusOf,
  notify,
  eventTypesOf,
  type PendingCharge,
  type StripeEvent,
} from '../../../webhooks/incoming/incoming.support.js';

/**
 * A payment canceled at the processor took nothing and can take nothing: its charge fails. Our own fence is also
 * canceled under that key; this says nothing about the charge.
 */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

const PAST_THE_DEADLINE = 301;
const canceled = (of: PendingCharge) =>
  event('payment_intent.canceled', intent(of, { status: 'canceled' }));

/** In the processor's ledger, where a succeeded payment cannot be canceled. */
async function cancelAtProcessor({ id }: PendingCharge): Promise<void> {
  await service.db.query(
    `UPDATE sandbox.payment_intents SET status = 'canceled', canceled_at = now(), amount_received = 0
     WHERE metadata ->> 'charge' = $1`,
    [id],
  );
}

function expectFailedForGood(reply: Awaited<ReturnType<typeof charge>>): void {
  expect(reply).toMatchObject({
    status: 402,
    body: { code: 'charge_failed', failure_code: 'canceled', retry: 'new_key' },
  });
}

describe('a canceled payment', () => {
  test('ends its pending charge as failed: a new key is allowed', async () => {
    const pending = await leavePending(service, 'canceled by hand');
    await notify(service.apiUrl, canceled(pending));
    expect(await statusOf(service, pending.id)).toBe('failed');
    const retry = await charge(service.apiUrl, 'canceled by hand');
    expectFailedForGood(retry);
    expect(retry.headers['idempotent-replayed']).toBe('true');
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.failed']);
  });

  test('frees its order and the stock that it held', async () => {
    const [order, sku] = [newId(), newId('sku')];
    await putProduct(service.apiUrl, sku, 5);
    const items = [{ sku, quantity: 2, unit_amount: 600 }];
    await putOrder(service.apiUrl, order, { currency: 'eur', items });
    const pending = await leavePending(service, 'canceled order', 'refusing', { order });
    expect((await getProduct(service.apiUrl, sku)).body.held).toBe(2);
    await notify(service.apiUrl, canceled(pending));
    expect((await getProduct(service.apiUrl, sku)).body).toMatchObject({ on_hand: 5, held: 0 });
    expect((await getOrder(service.apiUrl, order)).body.status).toBe('open');
    expect((await charge(service.apiUrl, 'second try', { order })).status).toBe(201);
  });

  test('after a decline, in either order, counts as the decline', async () => {
    for (const first of ['payment_intent.payment_failed', 'payment_intent.canceled']) {
      const pending = await leavePending(service, `declined and canceled: ${first} first`);
      const failure = declined(pending);
      const news = [
        event('payment_intent.payment_failed', failure),
        event('payment_intent.canceled', { ...failure, status: 'canceled' }),
      ].sort((a) => (a.type === first ? -1 : 1));
      for (const each of news) await notify(service.apiUrl, each);
      const { body } = await getCharge(service.apiUrl, pending.id);
      expect(body).toMatchObject({ status: 'failed', failure_code: 'card_declined' });
      for (const { id } of news) expect(await statesOf(service, id)).toEqual(['applied']);
    }
  });

  test('changes nothing about a charge that was paid', async () => {
    const { body } = await charge(service.apiUrl, 'paid');
    const paid = { id: body.id, account: await accountOf(service, body.id) };
    const before = (await getCharge(service.apiUrl, paid.id)).text;
    await notify(service.apiUrl, canceled(paid));
    expect((await getCharge(service.apiUrl, paid.id)).text).toBe(before);
    expect(await eventTypesOf(service, paid.id)).toEqual(['charge.succeeded']);
  });

  test('found in the ledger while a charge is abandoned ends the charge as well, instead of leaving it pending forever', async () => {
    const pending = await leavePending(service, 'found canceled', 'losing');
    await cancelAtProcessor(pending);
    await forgetAtProcessor(service.db, pending.id);
    await age(service.db, pending.id, PAST_THE_DEADLINE);
    expectFailedForGood(await charge(service.apiUrl, 'found canceled'));
    await forgetPayment(pending);
  });
});

/** The sandbox's events, newest first. */
async function eventsOf(type: string, metadata: object): Promise<StripeEvent[]> {
  const { body } = await send(`${service.sandboxUrl}/v1/events?limit=100&type=${type}`, {
    apiKey: 'sk_test_any',
  });
  return (body.data as StripeEvent[]).filter(({ data }) =>
    Object.entries(metadata).every(
      ([name, value]) => (data.object.metadata as Record<string, unknown>)[name] === value,
    ),
  );
}

/** A client of the processor for a process of ours that dies afterwards. */
async function asked({ id }: PendingCharge) {
  const { rows } = await service.db.query<{ prepared: string }>(
    'SELECT processor_parameters AS prepared FROM charges WHERE id = $1',
    [id],
  );
  const processor = new StripeProcessor({
    name: 'sandbox',
    secretKey: 'sk_test_fence',
    baseUrl: new URL(service.sandboxUrl),
    timeoutMs: 5_000,
  });
  return { processor, prepared: rows[0]!.prepared };
}

describe('a payment that asks for 3-D Secure after it was processing', () => {
  /** The charge got no answer; the processor's key always replays "processing". */
  async function asksLater(key: string): Promise<PendingCharge> {
    const pending = await leavePending(service, key, 'losing');
    await service.db.query(
      `UPDATE sandbox.payment_intents SET status = 'requires_action', amount_received = 0
       WHERE metadata ->> 'charge' = $1`,
      [pending.id],
    );
    await service.db.query(
      `UPDATE sandbox.idempotency_keys
       SET body = replace(body, '"status": "succeeded"', '"status": "processing"') WHERE key = $1`,
      [pending.id],
    );
    const news = event('payment_intent.requires_action', await paymentOf(service, pending));
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual([]);
    expect(await statusOf(service, pending.id)).toBe('pending');
    return pending;
  }

  const declinedForIt = {
    status: 402,
    body: { code: 'card_declined', decline_code: 'authentication_required', retry: 'new_key' },
  };

  test('ends as if it had asked immediately: canceled there, declined here', async () => {
    const pending = await asksLater('asks later');
    expect(await charge(service.apiUrl, 'asks later')).toMatchObject(declinedForIt);
    expect((await paymentOf(service, pending)).status).toBe('canceled');
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.failed']);
  });

  test('ends the same by the notification of our own cancel, if we die before the settle', async () => {
    const pending = await asksLater('asks later and gets an answer');
    const { processor, prepared } = await asked(pending);
    await processor.pay(pending.id, prepared);
    const [cancel] = await eventsOf('payment_intent.canceled', { charge: pending.id });
    await notify(service.apiUrl, cancel!);
    expect(await statesOf(service, cancel!.id)).toEqual(['applied']);
    const retry = await charge(service.apiUrl, 'asks later and gets an answer');
    expect(retry).toMatchObject(declinedForIt);
    expect(retry.headers['idempotent-replayed']).toBe('true');
  });
});

describe('the cancel of our own fence', () => {
  async function fence(pending: PendingCharge) {
    const { processor, prepared } = await asked(pending);
    return processor.fence(pending.id, prepared);
  }

  test('is dropped while the charge, whose original ran and was paid, is not settled', async () => {
    const { apiUrl, db } = service;
    const pending = await leavePending(service, 'fenced and paid', 'losing');
    await forgetAtProcessor(db, pending.id); // so that the fence finds the key unused
    await age(db, pending.id, PAST_THE_DEADLINE);
    // A process that fences, and dies before it looks.
    expect(await fence(pending)).toEqual({ kind: 'fenced' });
    const [cancel] = await eventsOf('payment_intent.canceled', { fence: pending.id });
    await notify(apiUrl, cancel!);
    expect(await statesOf(service, cancel!.id)).toEqual([]);
    expect(await statusOf(service, pending.id)).toBe('pending');
    // The payment counts.
    const paid = event('payment_intent.succeeded', await paymentOf(service, pending));
    await notify(apiUrl, paid);
    expect(await statusOf(service, pending.id)).toBe('succeeded');
    expect(await paymentsOf(service.sandboxUrl, pending.id)).toHaveLength(1);
    expect(await parked(service, pending.id)).toEqual([]);
  });

  test('changes nothing about a charge that was abandoned', async () => {
    const { apiUrl, db } = service;
    const pending = await leavePending(service, 'abandoned');
    await age(db, pending.id, PAST_THE_DEADLINE);
    const reply = await charge(apiUrl, 'abandoned');
    expect(reply).toMatchObject({ status: 402, body: { failure_code: 'abandoned' } });
    const [cancel] = await eventsOf('payment_intent.canceled', { fence: pending.id });
    await notify(apiUrl, cancel!);
    expect(await statesOf(service, cancel!.id)).toEqual([]);
    expect((await charge(apiUrl, 'abandoned')).text).toBe(reply.text);
  });
});

/** Removes the payment from the ledger, because the test changed it by SQL. */
async function forgetPayment({ id }: PendingCharge): Promise<void> {
  await service.db.query(`DELETE FROM sandbox.payment_intents WHERE metadata ->> 'charge' = $1`, [
    id,
  ]);
}
