import { nameOf } from '../log/redacted-error.js';
import Stripe from 'stripe';
import { NOT_REACHED } from './deadline-http-client.js';
import { unknownAnswer, type FenceAnswer, type ProcessorAnswer } from './processor.js';

/** Our failure code for 3-D Secure, whichever code Stripe uses. */
const AUTHENTICATION_REQUIRED = 'authentication_required';

/**
 * The reason with which we cancel an intent that requires 3-D Secure (Stripe's own value). If a person cancels an
 * intent with it in the dashboard, the charge ends in the same way.
 */
export const UNAUTHENTICATED =
  'abandoned' satisfies Stripe.PaymentIntentCancelParams.CancellationReason;

/**
 * Whether the bank requires 3-D Secure, which this API does not support. Until such an intent is canceled, it can
 * still be completed, so it does not end a charge (source: Stripe's "PaymentIntent lifecycle",
 * `error_on_requires_action`).
 */
export function requiresAuthentication(intent: Stripe.PaymentIntent): boolean {
  if (intent.status === 'requires_action') return true;
  return (
    intent.status === 'requires_payment_method' &&
    isAuthenticationFailure(intent.last_payment_error)
  );
}

/** The outcome of an intent that required authentication and is now canceled. */
export function authenticationRequired(reference: string | null): ProcessorAnswer {
  const code = AUTHENTICATION_REQUIRED;
  return { kind: 'declined', code, declineCode: code, reference };
}

/** The meaning of a PaymentIntent (source: Stripe's "PaymentIntent lifecycle"). */
export function answerOfIntent(intent: Stripe.PaymentIntent): ProcessorAnswer {
  const failure = intent.last_payment_error;
  switch (intent.status) {
    case 'succeeded':
      return { kind: 'succeeded', reference: intent.id };
    case 'requires_payment_method':
      if (failure && !requiresAuthentication(intent)) return answerOfFailure(failure, intent.id);
      break;
    case 'canceled':
      // Definite: nothing was taken and nothing can be taken. If the intent had failed before the cancel, report that
      // failure.
      if (failure) return answerOfFailure(failure, intent.id);
      // Our process may have been killed after its own cancel, or the notification arrived before our settle.
      if (intent.cancellation_reason === UNAUTHENTICATED) return authenticationRequired(intent.id);
      return { kind: 'rejected', failureCode: 'canceled', reference: intent.id };
    case 'processing':
    case 'requires_action':
    case 'requires_capture':
    case 'requires_confirmation':
      break;
  }
  return unknownAnswer(`the payment is ${intent.status}`);
}

/** The meaning of a refund (source: Stripe's "The Refund object"). */
export function answerOfRefund({ id, status, failure_reason }: Stripe.Refund): ProcessorAnswer {
  if (status === 'succeeded') return { kind: 'succeeded', reference: id };
  if (status === 'failed' || status === 'canceled') {
    return { kind: 'rejected', failureCode: failure_reason ?? status, reference: id };
  }
  return unknownAnswer(`the refund is ${status}`);
}

/** The meaning of an error of the SDK (source: Stripe's "Errors" and "Error handling"). */
export function answerOfError(error: unknown): ProcessorAnswer {
  if (error instanceof Stripe.errors.StripeCardError) {
    return answerOfFailure(error, error.payment_intent?.id ?? null);
  }
  if (error instanceof Stripe.errors.StripeRateLimitError) {
    return { kind: 'refused', reason: 'too many requests', alarm: false };
  }
  if (
    error instanceof Stripe.errors.StripeAuthenticationError ||
    error instanceof Stripe.errors.StripePermissionError
  ) {
    return { kind: 'refused', reason: 'the processor refuses our credentials', alarm: true };
  }
  if (error instanceof Stripe.errors.StripeConnectionError) {
    const code = (error.detail as { code?: string } | undefined)?.code;
    return NOT_REACHED.has(code)
      ? { kind: 'refused', reason: `not reached: ${code}`, alarm: false }
      : unknownAnswer(`no answer: ${code ?? error.type}`);
  }
  if (error instanceof Stripe.errors.StripeInvalidRequestError && error.statusCode !== 409) {
    return { kind: 'rejected', failureCode: error.code ?? 'invalid_request', reference: null };
  }
  if (error instanceof Stripe.errors.StripeError && (error.statusCode ?? 0) >= 500) {
    return unknownAnswer(`the processor failed with ${error.statusCode}`);
  }
  // Includes: key in use (409), idempotency_error (our key with other parameters), an answer that is not JSON.
  return unknownAnswer(nameOf(error));
}

interface Failure {
  code?: string;
  decline_code?: string;
}

function isAuthenticationFailure(failure: Failure | null): boolean {
  return [failure?.code, failure?.decline_code].includes(AUTHENTICATION_REQUIRED);
}

function answerOfFailure(failure: Failure, reference: string | null): ProcessorAnswer {
  if (isAuthenticationFailure(failure)) return authenticationRequired(reference);
  const { code, decline_code } = failure;
  return {
    kind: 'declined',
    code: code || 'card_declined',
    // The SDK represents an absent decline code as ''.
    declineCode: decline_code || code || 'generic_decline',
    reference,
  };
}

/** A failed status read says nothing about the payment itself. */
export function unknownYet(error: unknown): ProcessorAnswer {
  return unknownAnswer(`in progress, and its status cannot be read: ${nameOf(error)}`);
}

/** The deadline passed before the first attempt, or between attempts that had no effect. */
export const NOTHING_BEGUN: ProcessorAnswer = {
  kind: 'refused',
  reason: 'the deadline passed before an attempt could begin',
  alarm: false,
};

export function fenceAnswerOfError(error: unknown): FenceAnswer {
  if (error instanceof Stripe.errors.StripeIdempotencyError && error.statusCode === 400) {
    return { kind: 'used' };
  }
  if (
    error instanceof Stripe.errors.StripeInvalidRequestError &&
    (error.param === 'amount' || error.param === 'currency')
  ) {
    // The original request has the same values, and validation errors are not stored: it will be refused too.
    return { kind: 'fenced' };
  }
  return { kind: 'unknown', reason: nameOf(error) };
}
