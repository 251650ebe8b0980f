import Stripe from 'stripe';
import type { ProcessorAnswer } from './processor.js';
import {
  answerOfIntent,
  requiresAuthentication,
  authenticationRequired,
  UNAUTHENTICATED,
} from './stripe-answers.js';

type PaymentIntents = Stripe['paymentIntents'];

/** The intent of a payment that failed because the bank requires 3-D Secure. @throws any other error */
export function intentOfAuthenticationError(error: unknown): Stripe.PaymentIntent {
  const intent = error instanceof Stripe.errors.StripeCardError ? error.payment_intent : undefined;
  if (intent === undefined || !requiresAuthentication(intent)) throw error;
  return intent;
}

/**
 * Cancels an intent that requires 3-D Secure, so that it cannot be completed after its charge has failed. Any process
 * may repeat it. An intent that was completed meanwhile has succeeded.
 * @throws the SDK's error, if we do not know whether it is canceled.
 */
export async function endUnauthenticated(
  intents: PaymentIntents,
  id: string,
): Promise<ProcessorAnswer> {
  const intent = await intents
    .cancel(id, { cancellation_reason: UNAUTHENTICATED })
    .catch((error: unknown) => {
      if (!(error instanceof Stripe.errors.StripeInvalidRequestError)) throw error;
      return intents.retrieve(id); // it is final: canceled before, or paid
    });
  return intent.status === 'canceled' ? authenticationRequired(id) : answerOfIntent(intent);
}
