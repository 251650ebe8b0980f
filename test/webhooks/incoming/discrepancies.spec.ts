import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runToEnd } from '../../operation/operation.support.js';
import { charge, getCharge } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';
import { expireIn } from '../../support/time.js';
import {
  accountOf,
  declined,
  event,
  expectParked,
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
    await expectParked(service, wrong, pending.id, 'amount_mismatch');
    expect(await statusOf(service, pending.id)).toBe('pending');
    expect(await eventTypesOf(service, pending.id)).toEqual([]);

    // A wrong failure does not end it either.
    const failure = event('payment_intent.payment_failed', declined(pending, changes));
    await expectParked(service, failure, pending.id, 'amount_mismatch');
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
    await expectParked(service, late, failed.id, 'succeeded_after_failed');
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
    await expectParked(service, second, paid.id, 'second_payment');
    expect((await getCharge(service.apiUrl, paid.id)).text).toBe(before);
    expect(await eventTypesOf(service, paid.id)).toEqual(['charge.succeeded']);
  });

  test('if two payments for one pending charge are reported in parallel: one of them pays it', async () => {
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
    await expectParked(service, news, pending.id, 'another_processor');
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
