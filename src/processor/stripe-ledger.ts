import type Stripe from 'stripe';
import type { PaidRefund, Payment, Span } from './processor.js';
import { answerOfIntent, answerOfRefund } from './stripe-answers.js';

export function paymentOf(intent: Stripe.PaymentIntent): Payment {
  return {
    reference: intent.id,
    amount: intent.amount,
    currency: intent.currency,
    charge: intent.metadata.charge,
    account: intent.metadata.account,
    order: intent.metadata.order,
    paymentMethod: idOf(intent.payment_method),
    description: intent.description,
    createdAt: new Date(intent.created * 1000),
    answer: answerOfIntent(intent),
  };
}

/** A refund at Stripe, made by us or not, as a refund in the processor's ledger. */
export function paidRefundOf(refund: Stripe.Refund): PaidRefund {
  return {
    reference: refund.id,
    amount: refund.amount,
    currency: refund.currency,
    payment: idOf(refund.payment_intent),
    refund: refund.metadata?.refund,
    charge: refund.metadata?.charge,
    account: refund.metadata?.account,
    createdAt: new Date(refund.created * 1000),
    answer: answerOfRefund(refund),
  };
}

/** The id of a reference, expanded or not. */
function idOf(reference: string | { id: string } | null): string | undefined {
  return typeof reference === 'string' ? reference : reference?.id;
}

export function secondsOf({ from, to }: Span): { gte: number; lte: number } {
  return { gte: Math.floor(from.getTime() / 1000), lte: Math.ceil(to.getTime() / 1000) };
}
