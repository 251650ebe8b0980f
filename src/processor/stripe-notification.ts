import type Stripe from 'stripe';
import type { Notification } from './processor.js';
import { answerOfIntent, answerOfRefund } from './stripe-answers.js';

/**
 * What an event of Stripe's says about a charge or refund of ours; undefined if it is about somebody else's, or about
 * nothing that we follow. Ours are known by our own ids in the metadata.
 */
export function notificationOf({ id, type, data }: Stripe.Event): Notification | undefined {
  switch (type) {
    case 'payment_intent.succeeded':
    case 'payment_intent.payment_failed': {
      const intent = data.object as Stripe.PaymentIntent;
      const { charge, account } = intent.metadata;
      if (!charge || !account) return undefined;
      const { amount, currency } = intent;
      return { id, type, account, charge, amount, currency, answer: answerOfIntent(intent) };
    }
    case 'refund.created':
    case 'refund.updated':
    case 'refund.failed': {
      const refund = data.object as Stripe.Refund;
      const { refund: refundId, charge, account } = refund.metadata ?? {};
      if (!refundId || !charge || !account) return undefined;
      const { amount, currency } = refund;
      return {
        id,
        type,
        account,
        charge,
        refund: refundId,
        amount,
        currency,
        answer: answerOfRefund(refund),
      };
    }
    default:
      return undefined;
  }
}
