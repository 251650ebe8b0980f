import Stripe from 'stripe';
import { nameOf } from '../log/fault.js';
import { inTime, type Call } from './deadline-http-client.js';
import type { FenceAnswer } from './processor.js';

/** Uses up a key with an intent that takes nothing, so that no later call under the key can take money. */
export async function fenceKey(
  paymentIntents: Stripe['paymentIntents'],
  key: string,
  prepared: string,
  call: Call,
): Promise<FenceAnswer> {
  const { amount, currency } = JSON.parse(prepared) as Stripe.PaymentIntentCreateParams;
  try {
    return await inTime(call, async (): Promise<FenceAnswer> => {
      // Without a payment method and unconfirmed: this takes nothing even if the cancel below is lost.
      const intent = await paymentIntents.create(
        { amount, currency, confirm: false, metadata: { fence: key } },
        { idempotencyKey: key },
      );
      // If the answer is replayed from an earlier fence, the intent is canceled already.
      await paymentIntents.cancel(intent.id).catch((error: unknown) => {
        if (!(error instanceof Stripe.errors.StripeInvalidRequestError)) throw error;
      });
      return { kind: 'fenced' };
    });
  } catch (error) {
    if (error instanceof Stripe.errors.StripeIdempotencyError && error.statusCode === 400) {
      return { kind: 'used' };
    }
    if (
      error instanceof Stripe.errors.StripeInvalidRequestError &&
      (error.param === 'amount' || error.param === 'currency')
    ) {
      // The original has the same values, and Stripe stores no validation error: it refuses the original, too.
      return { kind: 'fenced' };
    }
    return { kind: 'unknown', reason: nameOf(error) };
  }
}
