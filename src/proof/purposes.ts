import { markerOf } from './history.js';
import type { Random } from './random.js';
import type { Account } from './world/world.js';

/** How the processor treats a payment. Those after the cards misbehave once for each key, as the sandbox documents. */
export const MISBEHAVIOURS = [
  'pm_lab_response_lost',
  'pm_lab_timeout',
  'pm_lab_unavailable_once',
  'pm_lab_error_after_charge',
  'pm_lab_slow',
] as const;
const CARDS = ['pm_card_visa', 'pm_card_mastercard', 'pm_card_visa_chargeDeclined'];

export const SKU = 'proof';

/** What a key is for: a path and two bodies that mean different things. */
export interface Purpose {
  account: Account;
  key: string;
  path: string;
  bodies: [string, string];
  /** The payment method of the first body. */
  method?: string;
  /** Must exist first. */
  order?: { path: string; content: string };
}

/** @param refundable ids of charges of the account */
export function purposeOf(
  account: Account,
  key: string,
  random: Random,
  refundable: string[],
): Purpose {
  const marker = markerOf(account.id, key);
  const kind = random.next();
  if (kind < 0.12 && refundable.length > 0) {
    const path = `/charges/${random.pick(refundable)}/refunds`;
    const body = (amount: number) => JSON.stringify({ amount, reason: marker });
    return { account, key, path, bodies: [body(3), body(4)] };
  }
  const items = (quantity: number) => [{ sku: SKU, quantity, unit_amount: 500 }];
  if (kind < 0.24) {
    const body = (quantity: number) =>
      JSON.stringify({ currency: 'usd', items: items(quantity), metadata: { marker } });
    return { account, key, path: '/orders', bodies: [body(1), body(2)] };
  }
  const method = random.chance(0.35) ? random.pick(MISBEHAVIOURS) : random.pick(CARDS);
  if (kind < 0.45) {
    const order = `order-${Math.floor(Number(key.slice(1)) / 3)}`; // two or three keys pay one order
    const content = {
      currency: 'usd',
      items: items(1),
      metadata: { marker: `${account.id}/${order}` },
    };
    const body = (payment_method: string) =>
      JSON.stringify({ payment_method, order, description: marker });
    return {
      account,
      key,
      path: '/charges',
      method,
      bodies: [body(method), body('pm_card_visa')],
      order: { path: `/orders/${order}`, content: JSON.stringify(content) },
    };
  }
  const receipt = random.chance(0.6) ? { receipt_email: `${key}@shop.example` } : {};
  const body = (amount: number) =>
    JSON.stringify({
      amount,
      currency: 'usd',
      payment_method: method,
      description: marker,
      ...receipt,
    });
  return { account, key, path: '/charges', method, bodies: [body(1_000), body(2_000)] };
}
