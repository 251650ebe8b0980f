import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import { buy, drained, type Purchase, type Shop } from '../../effects/effects.support.js';
import { refundsAtProcessor } from '../../refunds/refunds.support.js';
import { send, type Reply } from '../../support/raw-client.js';

export async function countStock(
  { apiUrl }: Shop,
  { sku }: Purchase,
  onHand: number,
): Promise<void> {
  const url = `${apiUrl}/products/${sku}`;
  const { headers } = await send(url);
  const body = { name: 'A cup', on_hand: onHand };
  const put = await send(url, { method: 'PUT', body, headers: { 'if-match': headers.etag } });
  if (put.status !== 200) throw new Error(put.text);
}

/** Two of ten are bought; then the stock is corrected to one. The workers sleep meanwhile. */
export function buyTheMissing(
  shop: Shop,
  before: (purchase: Purchase) => Promise<unknown> = async () => {},
): Promise<Purchase> {
  return shop.whileWorkersSleep(async () => {
    const purchase = await buy(shop);
    await countStock(shop, purchase, 1);
    await before(purchase);
    return purchase;
  });
}

export async function endOf(shop: Shop, { order, sku, charge }: Purchase) {
  const count = async (sql: string) =>
    (await shop.db.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${sql}`)).rows[0]!.n;
  const { body: shown } = await send(`${shop.apiUrl}/orders/${order}`);
  const { body: product } = await send(`${shop.apiUrl}/products/${sku}`);
  return {
    order: shown.status,
    back: (await refundsAtProcessor(shop.sandboxUrl, charge)).map(({ amount }) => amount).sort(),
    stock: [product.on_hand, product.held],
    shipments: await count(`fulfillments WHERE order_id = '${order}'`),
    canceled: await count(`events WHERE type = 'order.canceled' AND cause = '${order}'`),
    refunded: await count(
      `events WHERE type = 'charge.refunded' AND data #>> '{object,id}' = '${charge}'`,
    ),
  };
}

const CANCELED = {
  order: 'canceled',
  back: [1200],
  stock: [1, 0],
  shipments: 0,
  canceled: 1,
  refunded: 1,
};

export async function expectCanceled(
  shop: Shop,
  purchase: Purchase,
  changes: object = {},
): Promise<void> {
  await drained(shop.db);
  expect(await endOf(shop, purchase)).toEqual({ ...CANCELED, ...changes });
}

/** The payload of the sale's jobs, for adding them again. */
export async function payloadOf({ db }: Shop, { order, charge }: Purchase) {
  const { rows } = await db.query<{ account_id: string }>(
    'SELECT account_id FROM charges WHERE id = $1',
    [charge],
  );
  return { account: rows[0]!.account_id, order, charge };
}

export async function paymentOf({ db }: Shop, { charge }: Purchase): Promise<string> {
  const { rows } = await db.query<{ processor_reference: string }>(
    'SELECT processor_reference FROM charges WHERE id = $1',
    [charge],
  );
  return rows[0]!.processor_reference;
}

/** Refunds at the processor, without our key. @param more further form fields, after `payment_intent=…`. */
export async function refundAtProcessor(
  shop: Shop,
  purchase: Purchase,
  more: string,
): Promise<Reply> {
  return send(`${shop.sandboxUrl}/v1/refunds`, {
    key: randomUUID(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: `payment_intent=${await paymentOf(shop, purchase)}${more}`,
  });
}
