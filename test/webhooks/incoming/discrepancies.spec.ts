import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runToEnd } from '../../operation/operation.support.js';
import { charge, getCharge, send } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';
import { expireIn } from '../../support/time.js';
import {
  accountOf,
  declined,
  event,
  intent,
  leavePending,
  parked,
  parkedInMetrics,
  paymentOf,
  startListening,
  statesOf,
  statusOf,
  notify,
  eventTypesOf,
  type PendingCharge,
  type StripeEvent,
} from './incoming.support.js';

/** A notification that contradicts our books is neither applied nor lost: it is parked, listed and counted. */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterAll(() => service.stop());

/** Sends it twice and with a second event id, and expects that it is parked once. */
async function expectParked(news: StripeEvent, chargeId: string, reason: string): Promise<void> {
  const [before, list] = [await parkedInMetrics(service), await parked(service, chargeId)];
  const again = { ...news, id: `${news.id}x` };
  for (const each of [news, news, again]) await notify(service.apiUrl, each);
  for (const { id } of [news, again]) expect(await statesOf(service, id)).toEqual(['parked']);
  const { id: reference, amount } = news.data.object;
  const added = { reference, reason, amount: String(amount) };
  expect(await parked(service, chargeId)).toEqual([...list, added]);
  expect(await parkedInMetrics(service)).toBe(before + 1);
}

async function ended(key: string, method: string): Promise<PendingCharge> {
  const { body } = await charge(service.apiUrl, key, { payment_method: method });
  const id = body.charge ?? body.id;
  return { id, account: await accountOf(service, id) };
}

describe('a payment is parked, counted and not applied', () => {
  test.each<[string, Record<string, unknown>]>([
    ['another amount', { amount: 1201 }],
    ['nothing', { amount: 0 }],
    ['another currency', { currency: 'usd' }],
    ['another currency of as many units', { currency: 'jpy' }],
  ])('when it is of %s', async (what, changes) => {
    const pending = await leavePending(service, `mismatch ${what}`, 'losing');
    const wrong = event('payment_intent.succeeded', intent(pending, changes));
    await expectParked(wrong, pending.id, 'amount_mismatch');
    expect(await statusOf(service, pending.id)).toBe('pending');
    expect(await eventTypesOf(service, pending.id)).toEqual([]);

    // A wrong failure does not end it, either.
    const failure = event('payment_intent.payment_failed', declined(pending, changes));
    await expectParked(failure, pending.id, 'amount_mismatch');
    expect(await statusOf(service, pending.id)).toBe('pending');
    // The correct notification is still applied.
    const right = event('payment_intent.succeeded', await paymentOf(service, pending));
    await notify(service.apiUrl, right);
    expect(await statesOf(service, right.id)).toEqual(['applied']);
    expect(await statusOf(service, pending.id)).toBe('succeeded');
  });

  test('once, if its charge has failed', async () => {
    const failed = await ended('succeeds after it failed', 'pm_card_visa_chargeDeclined');
    const before = (await getCharge(service.apiUrl, failed.id)).text;
    const late = event('payment_intent.succeeded', intent(failed));
    await expectParked(late, failed.id, 'succeeded_after_failed');
    expect((await getCharge(service.apiUrl, failed.id)).text).toBe(before);
    expect(await eventTypesOf(service, failed.id)).toEqual(['charge.failed']);
    // The customer may have paid, so the answer offers no new key.
    await expireIn(service.db, 'succeeds after it failed', -1);
    const declinedCard = { payment_method: 'pm_card_visa_chargeDeclined' };
    expect(await charge(service.apiUrl, 'succeeds after it failed', declinedCard)).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no', resource: { id: failed.id } },
    });
  });

  test('if another payment has paid its charge', async () => {
    const paid = await ended('paid twice', 'pm_card_visa');
    const before = (await getCharge(service.apiUrl, paid.id)).text;
    const second = event('payment_intent.succeeded', intent(paid));
    await expectParked(second, paid.id, 'second_payment');
    expect((await getCharge(service.apiUrl, paid.id)).text).toBe(before);
    expect(await eventTypesOf(service, paid.id)).toEqual(['charge.succeeded']);
  });

  test('if two payments for one pending charge are reported at once: one of them pays it', async () => {
    const pending = await leavePending(service, 'two at once');
    const both = [intent(pending), intent(pending)];
    const news = both.map((each) => event('payment_intent.succeeded', each));
    await Promise.all(news.map((each) => notify(service.apiUrl, each)));
    const states = await Promise.all(news.map(({ id }) => statesOf(service, id)));
    expect(states.flat().sort()).toEqual(['applied', 'parked']);
    const { body } = await getCharge(service.apiUrl, pending.id);
    const other = both.find(({ id }) => id !== body.processor_reference)!;
    expect(await parked(service, pending.id)).toMatchObject([
      { reference: other.id, reason: 'second_payment' },
    ]);
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.succeeded']);
  });

  test('if its charge was reserved for another processor', async () => {
    const pending = await leavePending(service, 'another processor');
    await service.db.query(`UPDATE charges SET processor = 'stripe_test' WHERE id = $1`, [
      pending.id,
    ]);
    const news = event('payment_intent.succeeded', intent(pending));
    await expectParked(news, pending.id, 'another_processor');
    expect(await statusOf(service, pending.id)).toBe('pending');
  });
});

describe('a parked payment that an operator resolves', () => {
  const command = (...args: string[]) => runToEnd('jobs.js', service.env, args);
  const openNow = async () => (await command('list')).output;
  const declinedCard = { payment_method: 'pm_card_visa_chargeDeclined' };

  test('leaves the list and the alarm; its row and its effects stay', async () => {
    const failed = await ended('resolved', declinedCard.payment_method);
    const before = await parkedInMetrics(service);
    const late = event('payment_intent.succeeded', intent(failed));
    await notify(service.apiUrl, late);
    const reference = String(late.data.object.id);
    expect(await openNow()).toMatch(
      new RegExp(
        `^${reference}  succeeded_after_failed  ${failed.account}  ${failed.id}  1200 eur  since .*Z  the customer has paid`,
        'm',
      ),
    );
    expect(await openNow()).toMatch(new RegExp(`\n${before + 1} parked\n$`));

    const name = `${reference} of ${failed.account}`;
    const both = [
      command('resolve', reference, 'refunded', 'by', 'hand'),
      command('resolve', reference, 'x'),
    ];
    const outputs = (await Promise.all(both)).map(({ exit, output }) => `${exit} ${output}`);
    expect(outputs.sort()).toEqual(
      [`0 Resolved ${name}\n`, `0 ${name} is already resolved\n`].sort(),
    );
    expect(await openNow()).not.toContain(reference);
    expect(await parkedInMetrics(service)).toBe(before);

    // The same report again opens no row.
    await notify(service.apiUrl, { ...late, id: `${late.id}x` });
    expect(await parkedInMetrics(service)).toBe(before);
    expect(await parked(service, failed.id)).toMatchObject([{ reference }]);
    await expireIn(service.db, 'resolved', -1);
    expect(await charge(service.apiUrl, 'resolved', declinedCard)).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no' },
    });
    const audit = await runToEnd('audit.js', service.env, []);
    expect(audit.output).not.toMatch(new RegExp(`${reference}|${failed.id}`));
  });

  test('keeps the first resolution', async () => {
    const failed = await ended('resolved twice', declinedCard.payment_method);
    const late = event('payment_intent.succeeded', intent(failed));
    await notify(service.apiUrl, late);
    const reference = String(late.data.object.id);
    await command('resolve', reference, 'refunded by hand');
    await command('resolve', reference, 'honoured');
    const { rows } = await service.db.query(
      'SELECT resolution, resolved_at IS NULL AS open FROM parked_payments WHERE charge_id = $1',
      [failed.id],
    );
    expect(rows).toEqual([{ resolution: 'refunded by hand', open: false }]);
  });

  test('must be parked', async () => {
    expect(await command('resolve', 'pi_none', 'refunded')).toEqual({
      exit: 1,
      output: 'No payment pi_none is parked; `list` shows those that are open.\n',
    });
  });
});

describe('a refund is parked, counted and not applied', () => {
  type Status = 'pending' | 'succeeded' | 'failed';

  /** A refund of 5.00 through the API, in that state, and its object at the processor. */
  async function refund(key: string, status: Status) {
    const paid = await ended(`refunded ${key}`, 'pm_card_visa');
    service.gate.be(status === 'succeeded' ? 'open' : 'refusing');
    const url = `${service.apiUrl}/charges/${paid.id}/refunds`;
    const { body } = await send(url, { key, body: { amount: 500 } });
    service.gate.be('open');
    const id = (body.refund as string | undefined) ?? body.id;
    const object = {
      id: body.processor_reference ?? `re_${key.replaceAll(' ', '')}`,
      object: 'refund',
      amount: 500,
      currency: 'eur',
      status: 'succeeded',
      metadata: { refund: id, charge: paid.id, account: paid.account },
    };
    if (status === 'failed') {
      const failure = { ...object, status, failure_reason: 'lost_or_stolen_card' };
      await notify(service.apiUrl, event('refund.failed', failure));
    }
    const state = async () => (await send(`${service.apiUrl}/refunds/${id}`)).body.status;
    expect(await state()).toBe(status);
    const refunded = async () => (await getCharge(service.apiUrl, paid.id)).body.amount_refunded;
    return { id, paid, object, state, refunded };
  }

  test.each<[string, object]>([
    ['another amount', { amount: 499 }],
    ['another currency', { currency: 'usd' }],
  ])('when it is of %s', async (what, changes) => {
    const { paid, object, state, refunded } = await refund(`of ${what}`, 'pending');
    const news = event('refund.updated', { ...object, ...changes });
    await expectParked(news, paid.id, 'amount_mismatch');
    expect([await state(), await refunded()]).toEqual(['pending', 0]);
  });

  test('if it succeeds after it has failed', async () => {
    const { paid, object, state, refunded } = await refund('risen', 'failed');
    const news = event('refund.updated', object);
    await expectParked(news, paid.id, 'refund_succeeded_after_failed');
    expect([await state(), await refunded()]).toEqual(['failed', 0]);
    // The money may have moved, so the answer offers no new key.
    await expireIn(service.db, 'risen', -1);
    const url = `${service.apiUrl}/charges/${paid.id}/refunds`;
    expect(await send(url, { key: 'risen', body: { amount: 500 } })).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no' },
    });
  });

  test('if it is a second one with the same name', async () => {
    const { paid, object, refunded } = await refund('second refund', 'succeeded');
    const news = event('refund.created', { ...object, id: 're_theSecond' });
    await expectParked(news, paid.id, 'second_refund');
    expect(await refunded()).toBe(500);
  });

  test('but the failure of a pending one ends it, and its client gets that answer', async () => {
    const { id, object, state } = await refund('fails', 'failed');
    expect(await state()).toBe('failed');
    const { charge: chargeId } = object.metadata;
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

describe('a notification about another program is acknowledged and not stored', () => {
  const rows = async () => (await service.db.query('SELECT id FROM processor_events')).rows.length;

  test.each<[string, (of: PendingCharge) => StripeEvent]>([
    ['a payment without metadata', (of) => event(PAID, { ...intent(of), metadata: {} })],
    [
      'a payment without an account',
      (of) => event(PAID, { ...intent(of), metadata: { charge: of.id } }),
    ],
    [
      'a payment with the words of another program',
      (of) => event(PAID, { ...intent(of), metadata: { charge: 'order_5', account: of.account } }),
    ],
    [
      'a payment of the naive lane',
      (of) =>
        event(PAID, { ...intent(of), metadata: { naive_charge: of.id, account: of.account } }),
    ],
    [
      'a refund of no payment',
      (of) =>
        event('refund.created', {
          ...intent(of),
          metadata: { charge: of.id, account: of.account },
        }),
    ],
    ['what a charge at the processor has become', (of) => event('charge.refunded', intent(of))],
    ['a type that we do not use', (of) => event('payment_intent.created', intent(of))],
    ['news that end nothing', (of) => event(PAID, intent(of, { status: 'processing' }))],
  ])('%s', async (what, made) => {
    const pending = await leavePending(service, `not ours: ${what}`);
    const before = await rows();
    await notify(service.apiUrl, made(pending));
    expect(await rows()).toBe(before);
    expect(await statusOf(service, pending.id)).toBe('pending');
  });
});

const PAID = 'payment_intent.succeeded';
