import type Stripe from 'stripe';

/**
 * How the first payment request under a new idempotency key misbehaves. Its repeats are ordinary replays. Without a
 * key, every request counts as the first.
 * - `none`: not at all.
 * - `response_lost`: charges and commits, then closes the connection without a response.
 * - `timeout`: charges and commits, then never responds and keeps the connection open.
 * - `unavailable_once`: 429; nothing is charged or stored. The next request with the key works.
 * - `error_after_charge`: charges, then responds 500; this 500 is stored and replayed.
 * - `slow`: charges and responds after `slowMs` (3 s); until then the key is in use.
 */
export type Misbehaviour =
  'none' | 'response_lost' | 'timeout' | 'unavailable_once' | 'error_after_charge' | 'slow';

export interface Decline {
  code: string;
  declineCode: string;
  message: string;
}

export interface PaymentMethod {
  brand: 'visa' | 'mastercard';
  last4: string;
  /** `authenticate`: the bank requires 3-D Secure, which the sandbox cannot complete. */
  outcome: 'approve' | 'authenticate' | Decline;
  misbehaviour: Misbehaviour;
  /**
   * What happens to its refunds a moment after creation (docs.stripe.com/testing#refunds). Absent: they succeed
   * immediately.
   */
  refunds?: 'fail_later' | 'succeed_later';
}

const VISA: PaymentMethod = {
  brand: 'visa',
  last4: '4242',
  outcome: 'approve',
  misbehaviour: 'none',
};

const GENERIC_DECLINE: Decline = {
  code: 'card_declined',
  declineCode: 'generic_decline',
  message: 'Your card was declined.',
};
const INSUFFICIENT_FUNDS: Decline = {
  code: 'card_declined',
  declineCode: 'insufficient_funds',
  message: 'Your card has insufficient funds.',
};
const EXPIRED_CARD: Decline = {
  code: 'expired_card',
  declineCode: 'expired_card',
  message: 'Your card has expired.',
};

/** All inputs that change the sandbox's behaviour. The `pm_card_` names are Stripe's own. */
const PAYMENT_METHODS: ReadonlyMap<string, PaymentMethod> = new Map<string, PaymentMethod>([
  ['pm_card_visa', VISA],
  ['pm_card_mastercard', { ...VISA, brand: 'mastercard', last4: '4444' }],
  ['pm_card_visa_chargeDeclined', { ...VISA, last4: '0002', outcome: GENERIC_DECLINE }],
  [
    'pm_card_visa_chargeDeclinedInsufficientFunds',
    { ...VISA, last4: '9995', outcome: INSUFFICIENT_FUNDS },
  ],
  ['pm_card_chargeDeclinedExpiredCard', { ...VISA, last4: '0069', outcome: EXPIRED_CARD }],
  ['pm_card_authenticationRequired', { ...VISA, last4: '3184', outcome: 'authenticate' }],
  ['pm_card_threeDSecure2Required', { ...VISA, last4: '3220', outcome: 'authenticate' }],
  ['pm_card_refundFail', { ...VISA, last4: '5126', refunds: 'fail_later' }],
  ['pm_card_pendingRefund', { ...VISA, last4: '7726', refunds: 'succeed_later' }],
  ['pm_lab_response_lost', { ...VISA, misbehaviour: 'response_lost' }],
  ['pm_lab_timeout', { ...VISA, misbehaviour: 'timeout' }],
  ['pm_lab_unavailable_once', { ...VISA, misbehaviour: 'unavailable_once' }],
  ['pm_lab_error_after_charge', { ...VISA, misbehaviour: 'error_after_charge' }],
  ['pm_lab_slow', { ...VISA, misbehaviour: 'slow' }],
]);

export function findPaymentMethod(name: string): PaymentMethod | undefined {
  return PAYMENT_METHODS.get(name);
}

export function misbehaviourOf(name: string | null): Misbehaviour {
  return PAYMENT_METHODS.get(name ?? '')?.misbehaviour ?? 'none';
}

export function refundsOf(name: string | null): PaymentMethod['refunds'] {
  return PAYMENT_METHODS.get(name ?? '')?.refunds;
}

/** A PaymentMethod object. Its id is the name from the request; Stripe would create a new id. */
export function paymentMethodObject(name: string): Stripe.PaymentMethod {
  const method = PAYMENT_METHODS.get(name);
  return {
    id: name,
    object: 'payment_method',
    billing_details: { address: null, email: null, name: null, phone: null, tax_id: null },
    card: {
      brand: method?.brand ?? 'unknown',
      checks: null,
      country: 'US',
      display_brand: method?.brand ?? null,
      exp_month: 12,
      exp_year: 2099,
      funding: 'credit',
      generated_from: null,
      last4: method?.last4 ?? '',
      networks: null,
      regulated_status: null,
      three_d_secure_usage: null,
      wallet: null,
    },
    created: 0, // a fixed name has no creation time
    customer: null,
    customer_account: null,
    livemode: false,
    metadata: {},
    type: 'card',
  };
}
