import type Stripe from 'stripe';
import type { Notification } from './processor.js';
import { answerOfIntent, answerOfRefund } from './stripe-answers.js';

/**
 * What an event of Stripe's says about a charge or refund of ours; undefined if it is about somebody else's, or about
 * nothing that we follow. Ours are known by our own ids in the metadata.
 */
export function notificationOf(event: Stripe.Event): Notification | undefined {
  const { id, type } = event;
  if (event.type === 'payment_intent.succeeded' || event.type === 'payment_intent.payment_failed') {
    const intent = event.data.object;
    const { charge, account } = intent.metadata;
    if (!charge || !account) return undefined;
    const { amount, currency } = intent;
    return { id, type, account, charge, amount, currency, answer: answerOfIntent(intent) };
  }
  if (
    event.type === 'refund.created' ||
    event.type === 'refund.updated' ||
    event.type === 'refund.failed'
  ) {
    const object = event.data.object;
    const { refund, charge, account } = object.metadata ?? {};
    if (!refund || !charge || !account) return undefined;
    const { amount, currency } = object;
    return { id, type, account, charge, refund, amount, currency, answer: answerOfRefund(object) };
  }
  return undefined;
}
