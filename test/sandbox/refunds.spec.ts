import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type Stripe from 'stripe';
import { until } from '../support/until.js';
import type { Sandbox } from '../support/internals.js';
import { errorOf, payment, post, sdk, start } from './sandbox.support.js';

let sandbox: Sandbox;
let stripe: Stripe;

beforeAll(async () => {
  sandbox = await start();
  stripe = sdk(sandbox.port);
});
afterAll(() => sandbox.close());

const pay = (payment_method = 'pm_card_visa'): Promise<Stripe.PaymentIntent> =>
  stripe.paymentIntents.create({ amount: 1000, currency: 'eur', payment_method, confirm: true });

async function refunded(payment_intent: string): Promise<number> {
  const refunds = await stripe.refunds.list({ payment_intent, limit: 100 });
  return refunds.data.reduce((sum, { amount }) => sum + amount, 0);
}

describe('a refund', () => {
  it('refunds all that is left if no amount is given', async () => {
    const { id, latest_charge } = await pay();
    await stripe.refunds.create({ payment_intent: id, amount: 300 });
    const rest = await stripe.refunds.create({
      payment_intent: id,
      reason: 'requested_by_customer',
      metadata: { refund: 're_1' },
    });
    expect(rest).toMatchObject({
      object: 'refund',
      amount: 700,
      currency: 'eur',
      status: 'succeeded',
      payment_intent: id,
      charge: latest_charge,
      reason: 'requested_by_customer',
      metadata: { refund: 're_1' },
    });
    expect(await stripe.refunds.retrieve(rest.id)).toEqual(rest);
    const intent = await stripe.paymentIntents.retrieve(id, { expand: ['latest_charge'] });
    expect(intent.amount_received).toBe(1000);
    expect(intent.latest_charge).toMatchObject({ refunded: true, amount_refunded: 1000 });
  });

  it('never exceeds the received amount', async () => {
    const { id } = await pay();
    const tooMuch = await errorOf(stripe.refunds.create({ payment_intent: id, amount: 1001 }));
    expect(tooMuch).toMatchObject({ statusCode: 400, param: 'amount' });
    expect(tooMuch.message).toContain('greater than unrefunded amount');
    await stripe.refunds.create({ payment_intent: id });
    const again = await errorOf(stripe.refunds.create({ payment_intent: id }));
    expect(again).toMatchObject({ statusCode: 400, code: 'charge_already_refunded' });
    expect(await refunded(id)).toBe(1000);
  });

  it('never exceeds the received amount with twenty concurrent requests', async () => {
    const { id } = await pay();
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => stripe.refunds.create({ payment_intent: id, amount: 300 })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    for (const result of results) {
      // The lock refuses them, not a constraint after a lost race.
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ statusCode: 400 });
    }
    expect(await refunded(id)).toBe(900);
  });

  it('needs a succeeded payment', async () => {
    const unpaid = await stripe.paymentIntents.create({ amount: 100, currency: 'eur' });
    expect(await errorOf(stripe.refunds.create({ payment_intent: unpaid.id }))).toMatchObject({
      statusCode: 400,
    });
    expect(await errorOf(stripe.refunds.create({ payment_intent: 'pi_x' }))).toMatchObject({
      statusCode: 404,
      code: 'resource_missing',
      param: 'payment_intent',
    });
    expect(await errorOf(stripe.refunds.retrieve('re_x'))).toMatchObject({ statusCode: 404 });
  });

  it('is idempotent by its key', async () => {
    const { id } = await pay();
    const options = { idempotencyKey: randomUUID() };
    const first = await stripe.refunds.create({ payment_intent: id, amount: 400 }, options);
    const second = await stripe.refunds.create({ payment_intent: id, amount: 400 }, options);
    expect(second).toEqual(first);
    expect(await refunded(id)).toBe(400);
  });

  it("loses its answer when its payment's method does, and replays it", async () => {
    const key = randomUUID();
    const paid = await post(sandbox, '/v1/payment_intents', payment('pm_lab_error_after_charge'), {
      key,
    });
    expect(paid.status).toBe(500);
    const [intent] = (await stripe.paymentIntents.list({ limit: 1 })).data;
    const form = { payment_intent: intent?.id ?? '', amount: '500' };
    for (const replayed of [null, 'true']) {
      const reply = await post(sandbox, '/v1/refunds', form, { key: `${key}-refund` });
      expect(reply.status).toBe(500);
      expect(reply.headers.get('idempotent-replayed')).toBe(replayed);
    }
    expect(await refunded(form.payment_intent)).toBe(500);
  });

  it.each([
    ['pm_card_refundFail', 'succeeded', 'failed', 0],
    ['pm_card_pendingRefund', 'pending', 'succeeded', 400],
  ])('of %s is %s at first and %s later', async (method, first, last, back) => {
    const { id } = await pay(method);
    const made = await stripe.refunds.create({ payment_intent: id, amount: 400 });
    expect(made.status).toBe(first);
    await until(async () => (await stripe.refunds.retrieve(made.id)).status === last);
    const { failure_reason } = await stripe.refunds.retrieve(made.id);
    expect(failure_reason).toBe(last === 'failed' ? 'expired_or_canceled_card' : undefined);
    const intent = await stripe.paymentIntents.retrieve(id, { expand: ['latest_charge'] });
    expect(intent.latest_charge).toMatchObject({ amount_refunded: back });
    const reported = (await stripe.events.list({ limit: 20 })).data
      .filter(({ data }) => (data.object as { id?: string }).id === made.id)
      .map(({ type }) => type);
    const failed = last === 'failed' ? ['refund.failed'] : [];
    expect(reported.sort()).toEqual(
      ['charge.refund.updated', 'refund.created', ...failed, 'refund.updated'].sort(),
    );
  });

  it('is listed by payment, newest first, page by page', async () => {
    const { id } = await pay();
    const made: string[] = [];
    for (let i = 0; i < 5; i++) {
      made.unshift((await stripe.refunds.create({ payment_intent: id, amount: 10 })).id);
    }
    await stripe.refunds.create({ payment_intent: (await pay()).id });
    const list = stripe.refunds.list({ payment_intent: id, limit: 2 });
    const seen = await list.autoPagingToArray({ limit: 100 });
    expect(seen.map((refund) => refund.id)).toEqual(made);
  });
});
