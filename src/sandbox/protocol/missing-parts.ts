import type Stripe from 'stripe';

/**
 * Parts of Stripe's API that this sandbox lacks. Their error says that, so a developer does not look for a typo.
 * Source: the paths and parameter types of the official SDK; tsc checks the parameters,
 * test/white-box/sandbox/surface.spec.ts the paths.
 */
const RESOURCES: ReadonlySet<string> = new Set(
  `account account_links account_sessions accounts apple_pay application_fees apps balance balance_settings
  balance_transactions billing billing_portal charges checkout climate confirmation_tokens country_specs coupons
  credit_notes customer_sessions customers disputes entitlements ephemeral_keys exchange_rates file_links files
  financial_connections forwarding identity invoice_payments invoice_rendering_templates invoiceitems invoices issuing
  mandates payment_attempt_records payment_links payment_method_configurations payment_method_domains payment_methods
  payment_records payouts plans prices product_catalog products promotion_codes quotes radar reporting reviews
  setup_attempts setup_intents shipping_rates sigma sources subscription_items subscription_schedules subscriptions tax
  tax_codes tax_ids tax_rates terminal test_helpers three_d_secure tokens topups transfers treasury
  webhook_endpoints`.split(/\s+/),
);

/** Missing routes of resources that exist here. */
const ROUTES: readonly RegExp[] = [
  /^GET \/v1\/payment_intents\/search$/,
  /^GET \/v1\/payment_intents\/\w+\/amount_details_line_items$/,
  /^POST \/v1\/payment_intents\/\w+$/,
  /^POST \/v1\/payment_intents\/\w+\/(apply_customer_balance|capture|increment_authorization|verify_microdeposits)$/,
  /^POST \/v1\/refunds\/\w+(\/cancel)?$/,
];

/** @param path without the query. */
export function isMissingPart(method: string, path: string): boolean {
  if (/^\/(v2|oauth)\//.test(path)) return true;
  const [, version, resource = ''] = path.split('/');
  if (version === 'v1' && RESOURCES.has(resource)) return true;
  return ROUTES.some((route) => route.test(`${method} ${path}`));
}

/** All of Stripe's parameters except those that exist here. Leaving one out does not compile. */
type Missing<Parameters, Here extends keyof Parameters> = Record<
  Exclude<keyof Parameters, Here>,
  number
>;

type ConfirmHere =
  | 'error_on_requires_action'
  | 'expand'
  | 'off_session'
  | 'payment_method'
  | 'receipt_email'
  | 'return_url';
type CreateHere =
  | ConfirmHere
  | 'amount'
  | 'automatic_payment_methods'
  | 'capture_method'
  | 'confirm'
  | 'currency'
  | 'description'
  | 'metadata';
type PageHere = 'limit' | 'starting_after' | 'ending_before' | 'created';

const ATTEMPT = {
  ...{ allowed_payment_method_types: 1, amount_details: 1, confirmation_token: 1, hooks: 1 },
  ...{ excluded_payment_method_types: 1, mandate: 1, mandate_data: 1, payment_details: 1 },
  ...{ payment_method_data: 1, payment_method_options: 1, radar_options: 1, shipping: 1 },
  ...{ setup_future_usage: 1, use_stripe_sdk: 1 },
} as const;

export const MISSING_PARAMETERS = {
  createIntent: {
    ...ATTEMPT,
    ...{ application_fee_amount: 1, confirmation_method: 1, customer: 1, customer_account: 1 },
    ...{ on_behalf_of: 1, payment_method_configuration: 1, statement_descriptor: 1 },
    ...{ statement_descriptor_suffix: 1, transfer_data: 1, transfer_group: 1 },
  } satisfies Missing<Stripe.PaymentIntentCreateParams, CreateHere>,
  confirmIntent: {
    ...{ ...ATTEMPT, amount_to_confirm: 1, capture_method: 1 },
  } satisfies Missing<Stripe.PaymentIntentConfirmParams, ConfirmHere>,
  listIntents: { customer: 1, customer_account: 1 } satisfies Missing<
    Stripe.PaymentIntentListParams,
    PageHere | 'expand'
  >,
  createRefund: {
    ...{ charge: 1, currency: 1, customer: 1, expand: 1, instructions_email: 1, origin: 1 },
    ...{ refund_application_fee: 1, reverse_transfer: 1 },
  } satisfies Missing<
    Stripe.RefundCreateParams,
    'amount' | 'metadata' | 'payment_intent' | 'reason'
  >,
  listRefunds: { expand: 1 } satisfies Missing<
    Stripe.RefundListParams,
    PageHere | 'charge' | 'payment_intent'
  >,
  listEvents: { delivery_success: 1, expand: 1 } satisfies Missing<
    Stripe.EventListParams,
    PageHere | 'type' | 'types'
  >,
  retrieve: { expand: 1 } satisfies Missing<
    Stripe.RefundRetrieveParams & Stripe.EventRetrieveParams,
    never
  >,
};
