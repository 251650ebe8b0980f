import { isCurrency, stepOf } from '../money/currencies.js';
import type { NewIntent } from './payment-intents.ledger.js';
import { findPaymentMethod } from './payment-methods.table.js';
import type { Params } from './protocol/form.params.js';
import { invalidRequest, missingParameter, missingPart, noSuch } from './protocol/stripe.errors.js';

export const MAX_AMOUNT = 99_999_999;

export function readIntent(params: Params): NewIntent {
  const amount = params.integer('amount', 1, MAX_AMOUNT);
  if (amount === undefined) throw missingParameter('amount');
  const currency = params.requiredText('currency').toLowerCase();
  if (!isCurrency(currency)) {
    throw invalidRequest(
      `Invalid currency: ${currency.slice(0, 100)}. It is not an ISO 4217 code, not supported, or counted in another minor unit by Stripe, which this sandbox refuses.`,
      'currency',
    );
  }
  refuseUnlessWhole(amount, currency);
  const enabled = params.boolean('automatic_payment_methods[enabled]');
  const allowRedirects = params.oneOf('automatic_payment_methods[allow_redirects]', [
    'always',
    'never',
  ]);
  const types = params.list('payment_method_types');
  if (enabled && types.length > 0) {
    throw invalidRequest(
      'You may only specify one of these parameters: automatic_payment_methods, payment_method_types.',
    );
  }
  const unknownType = types.find((type) => type !== 'card');
  if (unknownType !== undefined) {
    throw invalidRequest(
      'The sandbox takes the payment method type card only.',
      'payment_method_types',
    );
  }
  params.oneOf('capture_method', ['automatic', 'automatic_async']);
  return {
    amount,
    currency,
    paymentMethod: readPaymentMethod(params) ?? null,
    paymentMethodTypes: ['card'],
    allowRedirects: enabled ? (allowRedirects ?? 'always') : null,
    description: params.text('description', 1_000) ?? null,
    receiptEmail: params.text('receipt_email', 800) ?? null,
    metadata: params.metadata(),
  };
}

/** Stripe's rule for currencies of three decimals. */
export function refuseUnlessWhole(amount: number, currency: string): void {
  const step = stepOf(currency);
  if (amount % step === 0) return;
  throw invalidRequest(
    `Invalid amount: in ${currency} it must be a multiple of ${step}.`,
    'amount',
    'parameter_invalid_integer',
  );
}

export function readConfirmOptions(params: Params): {
  errorOnRequiresAction: boolean;
  offSession: boolean;
} {
  params.text('return_url');
  return {
    errorOnRequiresAction: params.boolean('error_on_requires_action') ?? false,
    offSession: params.boolean('off_session') ?? false,
  };
}

export function readPaymentMethod(params: Params): string | undefined {
  const name = params.text('payment_method');
  if (name !== undefined && !findPaymentMethod(name)) {
    throw noSuch(400, 'PaymentMethod', name, 'payment_method');
  }
  return name;
}

export function readExpand(params: Params, prefix = ''): string[] {
  const paths = params.list('expand');
  const other = paths.find((path) => path !== `${prefix}latest_charge`);
  if (other !== undefined) throw missingPart(400, `the expansion of ${other.slice(0, 100)}`);
  return paths;
}
