import { randomInt } from 'node:crypto';
import type Stripe from 'stripe';

export type IntentStatus =
  | 'requires_payment_method' // created without one, or declined: confirm it with another
  | 'requires_confirmation' // has a payment method; nothing is taken yet
  | 'requires_action' // the bank requires 3-D Secure, which the sandbox cannot complete
  | 'succeeded' // final: amount_received has been taken
  | 'canceled'; // final: nothing was taken and nothing will be

/** A row of the ledger. Amounts are bigint, which the driver returns as text. */
export interface IntentRow {
  id: string;
  amount: string;
  amount_received: string;
  amount_refunded: string;
  currency: string;
  status: IntentStatus;
  payment_method: string | null;
  payment_method_types: string[];
  allow_redirects: Stripe.PaymentIntent.AutomaticPaymentMethods.AllowRedirects | null;
  description: string | null;
  receipt_email: string | null;
  metadata: Record<string, string>;
  latest_charge: string | null;
  last_payment_error: Stripe.PaymentIntent.LastPaymentError | null;
  cancellation_reason: Stripe.PaymentIntent.CancellationReason | null;
  canceled_at: Date | null;
  created_at: Date;
}

/**
 * Stripe's PaymentIntent. `created` is in unix seconds, amounts are in minor units. The types are the SDK's own:
 * leaving out a required member does not compile.
 */
export function intentObject(row: IntentRow, expand: string[] = []): Stripe.PaymentIntent {
  return {
    id: row.id,
    object: 'payment_intent',
    allowed_payment_method_types: null,
    amount: Number(row.amount),
    amount_capturable: 0,
    amount_received: Number(row.amount_received),
    application: null,
    application_fee_amount: null,
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
    customer_account: null,
    description: row.description,
    excluded_payment_method_types: null,
    last_payment_error: row.last_payment_error,
    latest_charge: expand.includes('latest_charge') ? chargeObject(row) : row.latest_charge,
    livemode: false,
    managed_payments: null,
    metadata: row.metadata,
    next_action: row.status === 'requires_action' ? { type: 'use_stripe_sdk' } : null,
    on_behalf_of: null,
    payment_method: row.payment_method,
    payment_method_configuration_details: null,
    payment_method_options: null,
    payment_method_types: row.payment_method_types,
    payment_record: null,
    processing: null,
    receipt_email: row.receipt_email,
    review: null,
    setup_future_usage: null,
    shipping: null,
    source: null,
    statement_descriptor: null,
    statement_descriptor_suffix: null,
    status: row.status,
    transfer_data: null,
    transfer_group: null,
  };
}

/** Stripe's Charge. Here an intent has one: its newest attempt. */
export function chargeObject(row: IntentRow): Stripe.Charge | null {
  if (!row.latest_charge) return null;
  const paid = row.status === 'succeeded';
  return {
    id: row.latest_charge,
    object: 'charge',
    amount: Number(row.amount),
    amount_captured: Number(row.amount_received),
    amount_refunded: Number(row.amount_refunded),
    application: null,
    application_fee: null,
    application_fee_amount: null,
    balance_transaction: null,
    billing_details: { address: null, email: null, name: null, phone: null, tax_id: null },
    calculated_statement_descriptor: null,
    captured: paid,
    created: unixSeconds(row.created_at),
    currency: row.currency,
    customer: null,
    description: row.description,
    disputed: false,
    failure_balance_transaction: null,
    failure_code: row.last_payment_error?.code ?? null,
    failure_message: row.last_payment_error?.message ?? null,
    fraud_details: null,
    livemode: false,
    metadata: row.metadata,
    on_behalf_of: null,
    outcome: null,
    paid,
    payment_intent: row.id,
    payment_method: row.payment_method,
    payment_method_details: null,
    receipt_email: row.receipt_email,
    receipt_number: null,
    receipt_url: null,
    refunded: paid && row.amount_refunded === row.amount,
    review: null,
    shipping: null,
    source: null,
    source_transfer: null,
    statement_descriptor: null,
    statement_descriptor_suffix: null,
    status: paid ? 'succeeded' : 'failed',
    transfer_data: null,
    transfer_group: null,
  };
}

const ID_ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** An id in Stripe's format: the prefix and 24 random characters. */
export function newId(prefix: string): string {
  return prefix + Array.from({ length: 24 }, () => ID_ALPHABET[randomInt(62)]).join('');
}

export function unixSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
