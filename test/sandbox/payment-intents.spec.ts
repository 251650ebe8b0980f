import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Stripe from 'stripe';
import type { Sandbox } from '../support/internals.js';
import { countPaid, errorOf, post, sdk, start } from './sandbox.support.js';

let sandbox: Sandbox;
let stripe: Stripe;

beforeAll(async () => {
  sandbox = await start();
  stripe = sdk(sandbox.port);
});
afterAll(() => sandbox.close());

const card = (payment_method: string): Stripe.PaymentIntentCreateParams => ({
  amount: 1200,
  currency: 'eur',
  payment_method,
  confirm: true,
  error_on_requires_action: true,
  automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
});

describe('a payment through the official SDK', () => {
  it.each(['pm_card_visa', 'pm_card_mastercard', 'pm_lab_slow'])('%s succeeds', async (method) => {
    const before = Math.floor(Date.now() / 1000);
    const intent = await stripe.paymentIntents.create({
      ...card(method),
      description: 'Gâteau & co',
      metadata: { charge: 'ch_1', 'a key': 'x=y&z' },
    });
    expect(intent).toMatchObject({
      object: 'payment_intent',
      status: 'succeeded',
      amount: 1200,
      amount_received: 1200,
      currency: 'eur',
      payment_method: method,
      description: 'Gâteau & co',
      metadata: { charge: 'ch_1', 'a key': 'x=y&z' },
      latest_charge: expect.stringMatching(/^ch_\w{24}$/),
      automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
      livemode: false,
    });
    expect(intent.id).toMatch(/^pi_\w{24}$/);
    expect(intent.created).toBeGreaterThanOrEqual(before);
    expect(intent.created).toBeLessThanOrEqual(Date.now() / 1000);
    expect(intent.lastResponse.requestId).toMatch(/^req_/);
    expect(await stripe.paymentIntents.retrieve(intent.id)).toEqual(intent);
  });

  it.each([
    ['pm_card_visa_chargeDeclined', 'card_declined', 'generic_decline'],
    ['pm_card_visa_chargeDeclinedInsufficientFunds', 'card_declined', 'insufficient_funds'],
    ['pm_card_chargeDeclinedExpiredCard', 'expired_card', 'expired_card'],
    ['pm_card_authenticationRequired', 'authentication_required', 'authentication_not_handled'],
  ])('%s is refused with %s / %s and kept in the ledger', async (method, code, declineCode) => {
    const error = await errorOf(stripe.paymentIntents.create(card(method)));
    expect(error).toBeInstanceOf(Stripe.errors.StripeCardError);
    expect(error).toMatchObject({ statusCode: 402, code, decline_code: declineCode });
    expect(error.payment_intent).toMatchObject({ status: 'requires_payment_method' });
    const intent = await stripe.paymentIntents.retrieve(error.payment_intent?.id ?? '');
    expect(intent).toMatchObject({
      status: 'requires_payment_method',
      amount_received: 0,
      last_payment_error: { type: 'card_error', code, decline_code: declineCode },
    });
  });

  it('waits for the customer if authentication may be required', async () => {
    const intent = await stripe.paymentIntents.create({
      ...card('pm_card_authenticationRequired'),
      error_on_requires_action: false,
    });
    expect(intent).toMatchObject({ status: 'requires_action', amount_received: 0 });
  });

  it('shows the charge when it is expanded', async () => {
    const intent = await stripe.paymentIntents.create({
      ...card('pm_card_visa'),
      expand: ['latest_charge'],
    });
    expect(intent.latest_charge).toMatchObject({ object: 'charge', paid: true, amount: 1200 });
  });
});

describe('confirm and cancel', () => {
  const unconfirmed = (payment_method?: string): Promise<Stripe.PaymentIntent> =>
    stripe.paymentIntents.create({ amount: 500, currency: 'usd', payment_method });

  it('takes nothing before the confirmation, and the amount at it', async () => {
    const intent = await unconfirmed('pm_card_visa');
    expect(intent).toMatchObject({ status: 'requires_confirmation', amount_received: 0 });
    expect(await stripe.paymentIntents.confirm(intent.id)).toMatchObject({
      id: intent.id,
      status: 'succeeded',
      amount_received: 500,
    });
    expect(await errorOf(stripe.paymentIntents.confirm(intent.id))).toMatchObject({
      statusCode: 400,
      code: 'payment_intent_unexpected_state',
    });
  });

  it('lets a declined intent be confirmed with another card', async () => {
    const intent = await unconfirmed();
    expect(intent.status).toBe('requires_payment_method');
    expect(await errorOf(stripe.paymentIntents.confirm(intent.id))).toMatchObject({
      code: 'payment_intent_unexpected_state',
    });
    const declined = { payment_method: 'pm_card_visa_chargeDeclined' };
    expect(await errorOf(stripe.paymentIntents.confirm(intent.id, declined))).toMatchObject({
      statusCode: 402,
    });
    const paid = await stripe.paymentIntents.confirm(intent.id, { payment_method: 'pm_card_visa' });
    expect(paid).toMatchObject({ status: 'succeeded', last_payment_error: null });
  });

  it('cancels once, and never a paid intent', async () => {
    const intent = await unconfirmed('pm_lab_timeout');
    const canceled = await stripe.paymentIntents.cancel(intent.id, {
      cancellation_reason: 'abandoned',
    });
    expect(canceled).toMatchObject({ status: 'canceled', cancellation_reason: 'abandoned' });
    expect(canceled.canceled_at).toBeGreaterThanOrEqual(canceled.created);
    const paid = await stripe.paymentIntents.create(card('pm_card_visa'));
    for (const again of [
      () => stripe.paymentIntents.cancel(intent.id),
      () => stripe.paymentIntents.confirm(intent.id),
      () => stripe.paymentIntents.cancel(paid.id),
    ]) {
      const error = await errorOf(again());
      expect(error).toMatchObject({ statusCode: 400, code: 'payment_intent_unexpected_state' });
      expect(error.payment_intent).toMatchObject({ object: 'payment_intent' });
    }
  });

  it('charges once for many concurrent confirmations of one intent', async () => {
    const test = randomUUID();
    const intent = await stripe.paymentIntents.create({
      amount: 500,
      currency: 'usd',
      payment_method: 'pm_card_visa',
      metadata: { test },
    });
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, () => stripe.paymentIntents.confirm(intent.id)),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await countPaid(test)).toBe(1);
  });

  it('answers 404 for an intent that does not exist', async () => {
    for (const missing of [
      () => stripe.paymentIntents.retrieve('pi_missing'),
      () => stripe.paymentIntents.confirm('pi_missing'),
      () => stripe.paymentIntents.cancel('pi_missing'),
      () => stripe.paymentIntents.retrieve('pi_\0'),
    ]) {
      expect(await errorOf(missing())).toMatchObject({ statusCode: 404, code: 'resource_missing' });
    }
  });
});

describe('validation', () => {
  const valid = { amount: '100', currency: 'eur' };

  it.each<[string, Record<string, string>, string | undefined, string | undefined]>([
    ['no amount', { currency: 'eur' }, 'parameter_missing', 'amount'],
    ['no currency', { amount: '100' }, 'parameter_missing', 'currency'],
    ['an empty amount', { ...valid, amount: '' }, 'parameter_invalid_empty', 'amount'],
    ['an amount of zero', { ...valid, amount: '0' }, 'parameter_invalid_integer', 'amount'],
    ['a negative amount', { ...valid, amount: '-1' }, 'parameter_invalid_integer', 'amount'],
    ['a fraction', { ...valid, amount: '1.5' }, 'parameter_invalid_integer', 'amount'],
    [
      'too large an amount',
      { ...valid, amount: '100000000' },
      'parameter_invalid_integer',
      'amount',
    ],
    ['a currency of two letters', { ...valid, currency: 'eu' }, undefined, 'currency'],
    ['a currency in another unit', { ...valid, currency: 'isk' }, undefined, 'currency'],
    ['gold', { ...valid, currency: 'xau' }, undefined, 'currency'],
    ['a third decimal', { amount: '101', currency: 'kwd' }, 'parameter_invalid_integer', 'amount'],
    ['an unknown parameter', { ...valid, colour: 'red' }, 'parameter_unknown', 'colour'],
    ['a nested unknown', { ...valid, 'a[b][c]': '1' }, 'parameter_unknown', 'a[b][c]'],
    [
      'metadata in metadata',
      { ...valid, 'metadata[a][b]': '1' },
      'parameter_unknown',
      'metadata[a][b]',
    ],
    ['an unknown card', { ...valid, payment_method: 'pm_x' }, 'resource_missing', 'payment_method'],
    [
      'a card named like a prototype',
      { ...valid, payment_method: '__proto__' },
      'resource_missing',
      'payment_method',
    ],
    ['a boolean that is none', { ...valid, confirm: 'yes' }, undefined, 'confirm'],
    [
      'confirm without a card',
      { ...valid, confirm: 'true' },
      'parameter_missing',
      'payment_method',
    ],
    [
      'an option of confirm without it',
      { ...valid, error_on_requires_action: 'true' },
      undefined,
      'error_on_requires_action',
    ],
    ['a null byte', { ...valid, description: 'a\0b' }, undefined, undefined],
    [
      'a long metadata key',
      { ...valid, [`metadata[${'k'.repeat(41)}]`]: '1' },
      undefined,
      undefined,
    ],
  ])('refuses %s', async (_what, form, code, param) => {
    const { status, body } = await post(sandbox, '/v1/payment_intents', form);
    expect(status).toBe(400);
    expect(body.error?.type).toBe('invalid_request_error');
    expect(body.error?.code).toBe(code);
    if (param) expect(body.error?.param).toBe(param);
  });

  it('keeps metadata whose key looks like a prototype', async () => {
    const form = { ...valid, 'metadata[__proto__]': 'x', 'metadata[0]': 'y' };
    const { body } = await post(sandbox, '/v1/payment_intents', form);
    expect(Object.entries(body.metadata ?? {})).toEqual(
      expect.arrayContaining([
        ['__proto__', 'x'],
        ['0', 'y'],
      ]),
    );
  });
});
