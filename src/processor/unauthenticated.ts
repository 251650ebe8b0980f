import Stripe from 'stripe';
import type { ProcessorAnswer } from './processor.js';
import {
  answerOfIntent,
  asksForAuthentication,
  authenticationRequired,
  UNAUTHENTICATED,
} from './stripe-answers.js';

type PaymentIntents = Stripe['paymentIntents'];

/** The intent of an attempt to pay that failed because the bank asks for 3-D Secure. @throws any other error */
export function intentOfAuthenticationError(error: unknown): Stripe.PaymentIntent {
  const intent = error instanceof Stripe.errors.StripeCardError ? error.payment_intent : undefined;
  if (intent === undefined || !asksForAuthentication(intent)) throw error;
  return intent;
}

/**
 * Cancels an intent that asks for 3-D Secure, so that it cannot be completed after its charge has failed. May be
 * repeated by any process; one that was completed meanwhile has succeeded.
 * @throws what the SDK throws, if it is not known whether it is canceled.
 */
export async function endUnauthenticated(
  intents: PaymentIntents,
  id: string,
): Promise<ProcessorAnswer> {
  const intent = await intents
    .cancel(id, { cancellation_reason: UNAUTHENTICATED })
    .catch((error: unknown) => {
      if (!(error instanceof Stripe.errors.StripeInvalidRequestError)) throw error;
      return intents.retrieve(id); // it has ended: canceled before, or paid
    });
  return intent.status === 'canceled' ? authenticationRequired(id) : answerOfIntent(intent);
}
