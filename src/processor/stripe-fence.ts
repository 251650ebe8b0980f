import Stripe from 'stripe';
import { withDeadline, type Call } from './deadline-http-client.js';
import type { FenceAnswer } from './processor.js';
import { fenceAnswerOfError } from './stripe-answers.js';

/** Uses up a key with an intent that takes nothing, so that no later call under the key can take money. */
export async function fenceKey(
  paymentIntents: Stripe['paymentIntents'],
  key: string,
  prepared: string,
  call: Call,
): Promise<FenceAnswer> {
  const { amount, currency } = JSON.parse(prepared) as Stripe.PaymentIntentCreateParams;
  try {
    return await withDeadline(call, async (): Promise<FenceAnswer> => {
      // The intent has no payment method and is not confirmed, so it takes nothing even if the cancel below is lost.
      const intent = await paymentIntents.create(
        { amount, currency, confirm: false, metadata: { fence: key } },
        { idempotencyKey: key },
      );
      // If this is a replay of an earlier fence, the intent is already canceled.
      await paymentIntents.cancel(intent.id).catch((error: unknown) => {
        if (!(error instanceof Stripe.errors.StripeInvalidRequestError)) throw error;
      });
      return { kind: 'fenced' };
    });
  } catch (error) {
    return fenceAnswerOfError(error);
  }
}
