import { nameOf } from '../platform/fault.js';
import Stripe from 'stripe';
import { NOT_REACHED } from './deadline-http-client.js';
import type { ProcessorAnswer } from './processor.js';

/** The meaning of a PaymentIntent (source: Stripe's "PaymentIntent lifecycle"). */
export function answerOfIntent(intent: Stripe.PaymentIntent): ProcessorAnswer {
  const failure = intent.last_payment_error;
  switch (intent.status) {
    case 'succeeded':
      return { kind: 'succeeded', reference: intent.id };
    case 'requires_payment_method':
      if (failure) return answerOfFailure(failure, intent.id);
      break;
    case 'canceled':
      // Definite: nothing was taken and nothing can be. What had failed before says more than the cancel.
      return failure
        ? answerOfFailure(failure, intent.id)
        : { kind: 'rejected', failureCode: 'canceled', reference: intent.id };
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

function answerOfFailure(
  { code, decline_code }: Failure,
  reference: string | null,
): ProcessorAnswer {
  if (code === 'authentication_required') return { kind: 'rejected', failureCode: code, reference };
  return {
    kind: 'declined',
    code: code || 'card_declined',
    // The SDK gives an absent decline code as ''.
    declineCode: decline_code || code || 'generic_decline',
    reference,
  };
}
