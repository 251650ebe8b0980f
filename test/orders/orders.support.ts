import type { OutgoingHttpHeaders } from 'node:http';
import { send, type Reply, type Send } from '../support/raw-client.js';

/** An order of 25.00: two of one product and one of another. */
export const ORDER = {
  currency: 'eur',
  items: [
    { sku: 'tea', quantity: 2, unit_amount: 1000 },
    { sku: 'cup', quantity: 1, unit_amount: 500 },
  ],
};

/** The same order with another price, so with another total. */
export function orderOf(unitAmount: number, sku = 'tea', quantity = 1) {
  return { currency: 'eur', items: [{ sku, quantity, unit_amount: unitAmount }] };
}

let count = 0;
/** An id that no other test has. */
export function newId(what = 'order'): string {
  return `${what}-${process.pid}-${++count}`;
}

export function putOrder(
  apiUrl: string,
  id: string,
  body: unknown = ORDER,
  headers: OutgoingHttpHeaders = {},
  options: Send = {},
): Promise<Reply> {
  const url = `${apiUrl}/orders/${encodeURIComponent(id)}`;
  return send(url, { method: 'PUT', body, headers, ...options });
}

export function getOrder(
  apiUrl: string,
  id: string,
  headers: OutgoingHttpHeaders = {},
): Promise<Reply> {
  return send(`${apiUrl}/orders/${encodeURIComponent(id)}`, { headers });
}

export function cancelOrder(
  apiUrl: string,
  id: string,
  headers: OutgoingHttpHeaders = {},
): Promise<Reply> {
  return send(`${apiUrl}/orders/${encodeURIComponent(id)}`, { method: 'DELETE', headers });
}

/** A charge for an order; the order gives amount and currency. */
export function pay(
  apiUrl: string,
  order: string,
  key: string,
  changes: Record<string, unknown> = {},
  options: Send = {},
): Promise<Reply> {
  const body = { order, payment_method: 'pm_card_visa', ...changes };
  return send(`${apiUrl}/charges`, { key, body, ...options });
}

export function putProduct(
  apiUrl: string,
  sku: string,
  onHand: number,
  headers: OutgoingHttpHeaders = {},
): Promise<Reply> {
  const body = { name: `A ${sku}`, on_hand: onHand };
  return send(`${apiUrl}/products/${sku}`, { method: 'PUT', body, headers });
}

export function getProduct(
  apiUrl: string,
  sku: string,
  headers: OutgoingHttpHeaders = {},
): Promise<Reply> {
  return send(`${apiUrl}/products/${sku}`, { headers });
}

/**
 * A header from a pattern: `now` becomes what is between the quotes of the current tag, `NOW` the same with its letters
 * in the other case. Example: `W/"now"`.
 */
export function tagged(pattern: string, { headers: { etag } }: Reply): string {
  const now = /^"([\w-]+)"$/.exec(etag ?? '')?.[1];
  if (now === undefined) throw new Error(`no tag: ${etag}`);
  const otherCase = now.replaceAll(/[a-z]/gi, (letter) =>
    letter < 'a' ? letter.toLowerCase() : letter.toUpperCase(),
  );
  return pattern.replace(/now/gi, (word) => (word === 'now' ? now : otherCase));
}
