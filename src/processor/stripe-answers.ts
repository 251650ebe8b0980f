import { nameOf } from '../log/redacted-error.js';
import Stripe from 'stripe';
import { NOT_REACHED } from './deadline-http-client.js';
import type { ProcessorAnswer } from './processor.js';

/** What we call it, whatever Stripe calls the way in which it was asked for. */
const AUTHENTICATION_REQUIRED = 'authentication_required';

/**
 * Why we cancel an intent that asks for it: Stripe's own word. A person who cancels an intent with it at the processor's
 * desk ends the charge in the same way.
 */
export const UNAUTHENTICATED =
  'abandoned' satisfies Stripe.PaymentIntentCancelParams.CancellationReason;

/**
 * Whether the bank asks for 3-D Secure, which this API does not run. Until such an intent is canceled, it can still be
 * completed: it is no end of a charge (source: Stripe's "PaymentIntent lifecycle", `error_on_requires_action`).
 */
export function asksForAuthentication(intent: Stripe.PaymentIntent): boolean {
  if (intent.status === 'requires_action') return true;
  return intent.status === 'requires_payment_method' && isAboutIt(intent.last_payment_error);
}

/** The end of an intent that asked for authentication and is canceled now. */
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
      if (failure && !asksForAuthentication(intent)) return answerOfFailure(failure, intent.id);
      break;
    case 'canceled':
      // Definite: nothing was taken and nothing can be. What had failed before says more than the cancel.
      if (failure) return answerOfFailure(failure, intent.id);
      // We may have been killed after our own cancel, or its notification was faster than our settle.
      if (intent.cancellation_reason === UNAUTHENTICATED) return authenticationRequired(intent.id);
      return { kind: 'rejected', failureCode: 'canceled', reference: intent.id };
    case 'processing':
    case 'requires_action':
    case 'requires_capture':
    case 'requires_confirmation':
      break;
  }
  return { kind: 'unknown', reason: `the payment is ${intent.status}`, stored: false };
}

/** The meaning of a refund (source: Stripe's "The Refund object"). */
export function answerOfRefund({ id, status, failure_reason }: Stripe.Refund): ProcessorAnswer {
  if (status === 'succeeded') return { kind: 'succeeded', reference: id };
  if (status === 'failed' || status === 'canceled') {
    return { kind: 'rejected', failureCode: failure_reason ?? status, reference: id };
  }
  return { kind: 'unknown', reason: `the refund is ${status}`, stored: false };
}

/** The meaning of what the SDK throws (source: Stripe's "Errors" and "Error handling"). */
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
      : { kind: 'unknown', reason: `no answer: ${code ?? error.type}`, stored: false };
  }
  if (error instanceof Stripe.errors.StripeInvalidRequestError && error.statusCode !== 409) {
    return { kind: 'rejected', failureCode: error.code ?? 'invalid_request', reference: null };
  }
  if (error instanceof Stripe.errors.StripeError && (error.statusCode ?? 0) >= 500) {
    const stored = error.headers?.['idempotent-replayed'] === 'true';
    return { kind: 'unknown', reason: `the processor failed with ${error.statusCode}`, stored };
  }
  // Among these: key in use (409), idempotency_error (our key with other parameters), an answer that is not JSON.
  return { kind: 'unknown', reason: nameOf(error), stored: false };
}

interface Failure {
  code?: string;
  decline_code?: string;
}

function isAboutIt(failure: Failure | null): boolean {
  return [failure?.code, failure?.decline_code].includes(AUTHENTICATION_REQUIRED);
}

function answerOfFailure(failure: Failure, reference: string | null): ProcessorAnswer {
  if (isAboutIt(failure)) return authenticationRequired(reference);
  const { code, decline_code } = failure;
  return {
    kind: 'declined',
    code: code || 'card_declined',
    // The SDK gives an absent decline code as ''.
    declineCode: decline_code || code || 'generic_decline',
    reference,
  };
}
