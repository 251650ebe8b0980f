import { describe, expect, test } from '@jest/globals';
import Stripe from 'stripe';
import type { ProcessorAnswer } from '../../../src/processor/processor.js';
import { answerOfError, answerOfIntent } from '../../../src/processor/stripe-answers.js';

const { errors } = Stripe;

function intent(changes: Record<string, unknown>): Stripe.PaymentIntent {
  return { id: 'pi_1', last_payment_error: null, ...changes } as unknown as Stripe.PaymentIntent;
}

function connectionError(code: string | undefined): Error {
  return new errors.StripeConnectionError({ message: 'gone', detail: { code } } as never);
}

const raw = (changes: Record<string, unknown>) => changes as never;

describe('what a payment intent means', () => {
  test.each<[string, Record<string, unknown>, Partial<ProcessorAnswer>]>([
    ['succeeded', { status: 'succeeded' }, { kind: 'succeeded', reference: 'pi_1' }],
    [
      'declined',
      {
        status: 'requires_payment_method',
        last_payment_error: { code: 'card_declined', decline_code: 'lost_card' },
      },
      { kind: 'declined', code: 'card_declined', declineCode: 'lost_card', reference: 'pi_1' },
    ],
    [
      'declined without a decline code',
      { status: 'requires_payment_method', last_payment_error: { code: 'expired_card' } },
      { kind: 'declined', code: 'expired_card', declineCode: 'expired_card' },
    ],
    [
      'declined without any code',
      { status: 'requires_payment_method', last_payment_error: {} },
      { kind: 'declined', code: 'card_declined', declineCode: 'generic_decline' },
    ],
    [
      'an authentication that is asked for and can still be given',
      {
        status: 'requires_payment_method',
        last_payment_error: { code: 'authentication_required' },
      },
      { kind: 'unknown', stored: false },
    ],
    [
      'canceled after an authentication was asked for',
      {
        status: 'canceled',
        last_payment_error: { code: 'card_declined', decline_code: 'authentication_required' },
      },
      { kind: 'declined', declineCode: 'authentication_required', reference: 'pi_1' },
    ],
    [
      'without a method and without a failure',
      { status: 'requires_payment_method' },
      { kind: 'unknown', stored: false },
    ],
    ['processing', { status: 'processing' }, { kind: 'unknown', stored: false }],
    [
      'canceled, by a person: nothing was taken and nothing can be',
      { status: 'canceled' },
      { kind: 'rejected', failureCode: 'canceled', reference: 'pi_1' },
    ],
    [
      'canceled after a decline, which says more',
      {
        status: 'canceled',
        last_payment_error: { code: 'card_declined', decline_code: 'lost_card' },
      },
      { kind: 'declined', code: 'card_declined', declineCode: 'lost_card', reference: 'pi_1' },
    ],
    ['requires_action', { status: 'requires_action' }, { kind: 'unknown', stored: false }],
    ['requires_capture', { status: 'requires_capture' }, { kind: 'unknown', stored: false }],
    [
      'requires_confirmation',
      { status: 'requires_confirmation' },
      { kind: 'unknown', stored: false },
    ],
    [
      'a status of a later version',
      { status: 'something_new' },
      { kind: 'unknown', stored: false },
    ],
  ])('%s', (_case, changes, answer) => {
    expect(answerOfIntent(intent(changes))).toMatchObject(answer);
  });
});

describe('what the SDK’s errors mean', () => {
  test.each<[string, unknown, Partial<ProcessorAnswer>]>([
    [
      'a decline',
      new errors.StripeCardError(
        raw({
          code: 'card_declined',
          decline_code: 'insufficient_funds',
          payment_intent: { id: 'pi_2' },
        }),
      ),
      { kind: 'declined', declineCode: 'insufficient_funds', reference: 'pi_2' },
    ],
    [
      'a decline that names no payment',
      new errors.StripeCardError(raw({ code: 'incorrect_cvc' })),
      { kind: 'declined', declineCode: 'incorrect_cvc', reference: null },
    ],
    [
      'authentication required',
      new errors.StripeCardError(raw({ code: 'authentication_required' })),
      { kind: 'declined', declineCode: 'authentication_required', reference: null },
    ],
    [
      'an invalid request',
      new errors.StripeInvalidRequestError(raw({ code: 'resource_missing', statusCode: 400 })),
      { kind: 'rejected', failureCode: 'resource_missing', reference: null },
    ],
    [
      'an invalid request without a code',
      new errors.StripeInvalidRequestError(raw({ statusCode: 400 })),
      { kind: 'rejected', failureCode: 'invalid_request' },
    ],
    [
      'our key in use (409)',
      new errors.StripeInvalidRequestError(
        raw({ code: 'idempotency_key_in_use', statusCode: 409 }),
      ),
      { kind: 'unknown', stored: false },
    ],
    [
      'our key with other parameters',
      new errors.StripeIdempotencyError(raw({ statusCode: 400 })),
      { kind: 'unknown', stored: false },
    ],
    [
      'too many requests',
      new errors.StripeRateLimitError(raw({ statusCode: 429 })),
      { kind: 'refused', alarm: false },
    ],
    [
      'a wrong secret key, which an operator must correct',
      new errors.StripeAuthenticationError(raw({ statusCode: 401 })),
      { kind: 'refused', alarm: true },
    ],
    [
      'a key that may not do this',
      new errors.StripePermissionError(raw({ statusCode: 403 })),
      { kind: 'refused', alarm: true },
    ],
    [
      'a 500',
      new errors.StripeAPIError(raw({ statusCode: 500 })),
      { kind: 'unknown', stored: false },
    ],
    [
      'a 502 of something in between',
      new errors.StripeAPIError(raw({ statusCode: 502, headers: {} })),
      { kind: 'unknown', stored: false },
    ],
    ['refused by the host', connectionError('ECONNREFUSED'), { kind: 'refused', alarm: false }],
    ['no such host', connectionError('ENOTFOUND'), { kind: 'refused', alarm: false }],
    ['DNS out of order', connectionError('EAI_AGAIN'), { kind: 'refused' }],
    ['no way to the host', connectionError('EHOSTUNREACH'), { kind: 'refused' }],
    ['no way to the network', connectionError('ENETUNREACH'), { kind: 'refused' }],
    ['a reset connection', connectionError('ECONNRESET'), { kind: 'unknown', stored: false }],
    ['a closed pipe', connectionError('EPIPE'), { kind: 'unknown' }],
    ['a timeout', connectionError('ETIMEDOUT'), { kind: 'unknown' }],
    ['a connection error of no name', connectionError(undefined), { kind: 'unknown' }],
    ['an answer that is not JSON', new SyntaxError('Unexpected token <'), { kind: 'unknown' }],
    ['what is not even an Error', 'boom', { kind: 'unknown', stored: false }],
  ])('%s', (_case, error, answer) => {
    expect(answerOfError(error)).toMatchObject(answer);
  });
});
