import { randomUUID } from 'node:crypto';
import { send } from '../support/raw-client.js';

/** Makes an order of 19.99. @returns its id. */
export async function newOrder(apiUrl: string): Promise<string> {
  const id = `order_${randomUUID()}`;
  const items = [{ sku: 'mug', quantity: 1, unit_amount: 1999 }];
  const body = { currency: 'usd', items };
  await send(`${apiUrl}/orders/${id}`, { method: 'PUT', body });
  return id;
}
