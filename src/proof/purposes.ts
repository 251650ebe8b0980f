import { markerOf } from './history.js';
import type { Random } from './random.js';
import type { Account } from './world/accounts.js';

/** Payment methods that misbehave once for each key, as the sandbox documents. The cards below do not. */
export const MISBEHAVIOURS = [
  'pm_lab_response_lost',
  'pm_lab_timeout',
  'pm_lab_unavailable_once',
  'pm_lab_error_after_charge',
  'pm_lab_slow',
] as const;
const CARDS = ['pm_card_visa', 'pm_card_mastercard', 'pm_card_visa_chargeDeclined'];

export const SKU = 'proof';
/** On hand before the first request: more than all orders can need. */
export const STOCK = 1_000_000;

/** What a key is for. `sale`: a charge that pays an order. */
export type Kind = 'charge' | 'sale' | 'order' | 'refund';

/** How often each kind is chosen, in per cent. */
export const USUAL_SHARES: Record<Kind, number> = { charge: 55, sale: 21, order: 12, refund: 12 };

/** A path and two bodies that mean different things. */
export interface Purpose {
  account: Account;
  key: string;
  path: string;
  bodies: [string, string];
  /** The payment method of the first body. */
  method?: string;
  /** The order that must exist first. */
  order?: { path: string; content: string };
}

/** @param refundable ids of charges of the account. Without any, a refund becomes a charge. */
export function purposeOf(
  account: Account,
  key: string,
  random: Random,
  refundable: string[],
  shares: Record<Kind, number>,
): Purpose {
  const marker = markerOf(account.id, key);
  const kind = random.weighted(shares);
  if (kind === 'order') return { account, key, ...orderOf(marker) };
  if (kind === 'refund' && refundable.length > 0)
    return { account, key, ...refundOf(random.pick(refundable), marker) };
  const method = random.chance(0.35) ? random.pick(MISBEHAVIOURS) : random.pick(CARDS);
  if (kind === 'sale') return { account, key, ...saleOf(account, key, method) };
  const email = random.chance(0.6) ? `${key}@shop.example` : undefined;
  return { account, key, ...chargeOf(method, marker, email) };
}

function chargeOf(payment_method: string, description: string, receipt_email?: string) {
  const body = (amount: number) =>
    JSON.stringify({ amount, currency: 'usd', payment_method, description, receipt_email });
  return { path: '/charges', method: payment_method, bodies: both(body, 1_000, 2_000) };
}

/** Two or three keys pay one order. */
function saleOf({ id }: Account, key: string, method: string) {
  const order = `order-${Math.floor(Number(key.slice(1)) / 3)}`;
  const description = markerOf(id, key);
  const body = (payment_method: string) => JSON.stringify({ payment_method, order, description });
  const content = contentOf(1, markerOf(id, order));
  return {
    path: '/charges',
    method,
    bodies: both(body, method, 'pm_card_visa'),
    order: { path: `/orders/${order}`, content },
  };
}

function orderOf(marker: string) {
  return { path: '/orders', bodies: both((quantity) => contentOf(quantity, marker), 1, 2) };
}

function refundOf(charge: string, reason: string) {
  const body = (amount: number) => JSON.stringify({ amount, reason });
  return { path: `/charges/${charge}/refunds`, bodies: both(body, 3, 4) };
}

function contentOf(quantity: number, marker: string): string {
  const items = [{ sku: SKU, quantity, unit_amount: 500 }];
  return JSON.stringify({ currency: 'usd', items, metadata: { marker } });
}

const both = <T>(body: (different: T) => string, a: T, b: T): [string, string] => [
  body(a),
  body(b),
];
