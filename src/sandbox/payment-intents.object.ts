import { randomInt } from 'node:crypto';

export type IntentStatus =
  | 'requires_payment_method' // made without one, or declined: confirm it with another
  | 'requires_confirmation' // has a payment method, nothing is taken yet
  | 'requires_action' // the bank asks for 3-D Secure, which nobody can pass in the sandbox
  | 'succeeded' // final: amount_received has been taken
  | 'canceled'; // final: nothing was taken and nothing will be

/** A row of the ledger. Amounts are bigint, which the driver gives as text. */
export interface IntentRow {
  id: string;
  amount: string;
  amount_received: string;
  amount_refunded: string;
  currency: string;
  status: IntentStatus;
  payment_method: string | null;
  payment_method_types: string[];
  allow_redirects: string | null;
  description: string | null;
  receipt_email: string | null;
  metadata: Record<string, string>;
  latest_charge: string | null;
  last_payment_error: object | null;
  cancellation_reason: string | null;
  canceled_at: Date | null;
  created_at: Date;
}

/** Stripe's PaymentIntent. `created` is unix seconds, amounts are in the minor unit. */
export function intentObject(row: IntentRow, expand: string[] = []): object {
  return {
    id: row.id,
    object: 'payment_intent',
    amount: Number(row.amount),
    amount_capturable: 0,
    amount_received: Number(row.amount_received),
    automatic_payment_methods: row.allow_redirects
      ? { allow_redirects: row.allow_redirects, enabled: true }
      : null,
    canceled_at: row.canceled_at && unixSeconds(row.canceled_at),
    cancellation_reason: row.cancellation_reason,
    capture_method: 'automatic',
    client_secret: `${row.id}_secret_sandbox`,
    confirmation_method: 'automatic',
    created: unixSeconds(row.created_at),
    currency: row.currency,
    customer: null,
    description: row.description,
    last_payment_error: row.last_payment_error,
    latest_charge: expand.includes('latest_charge') ? chargeObject(row) : row.latest_charge,
    livemode: false,
    metadata: row.metadata,
    next_action: row.status === 'requires_action' ? { type: 'use_stripe_sdk' } : null,
    payment_method: row.payment_method,
    payment_method_types: row.payment_method_types,
    processing: null,
    receipt_email: row.receipt_email,
    setup_future_usage: null,
    shipping: null,
    status: row.status,
  };
}

export function chargeObject(row: IntentRow): object | null {
  if (!row.latest_charge) return null;
  const paid = row.status === 'succeeded';
  return {
    id: row.latest_charge,
    object: 'charge',
    amount: Number(row.amount),
    amount_captured: Number(row.amount_received),
    amount_refunded: Number(row.amount_refunded),
    captured: paid,
    created: unixSeconds(row.created_at),
    currency: row.currency,
    livemode: false,
    metadata: row.metadata,
    paid,
    payment_intent: row.id,
    payment_method: row.payment_method,
    refunded: paid && row.amount_refunded === row.amount,
    status: paid ? 'succeeded' : 'failed',
  };
}

const ID_ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** An id as Stripe's look: the prefix and 24 random characters. */
export function newId(prefix: string): string {
  return prefix + Array.from({ length: 24 }, () => ID_ALPHABET[randomInt(62)]).join('');
}

export function unixSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
