import type { Database } from '../../src/idempotency/database.js';

interface Sale {
  account: string;
  order: string;
  charge: string;
}

/** Ships a paid order, as the worker does. @returns the shipment's id. */
export async function ship(db: Database, { account, order, charge }: Sale): Promise<string> {
  const id = `ful_${charge}`;
  await db.query(
    `INSERT INTO fulfillments (account_id, id, order_id, charge_id, step, tracking_number)
     VALUES ($1, $2, $3, $4, 'handed_over', 'TRACK-1')`,
    [account, id, order, charge],
  );
  await db.query(`UPDATE orders SET fulfillment_id = $3 WHERE account_id = $1 AND id = $2`, [
    account,
    order,
    id,
  ]);
  await db.query(
    `INSERT INTO stock_movements (account_id, sku, cause, kind, quantity) VALUES ($1, 'shirt', $2, 'book', 2)`,
    [account, charge],
  );
  await db.query(
    `UPDATE products SET on_hand = on_hand - 2, held = held - 2 WHERE account_id = $1`,
    [account],
  );
  return id;
}

/** Cancels a sale that cannot be delivered: decides, refunds, cancels the order. @returns the refund's id. */
export async function cancelSale(db: Database, { account, order, charge }: Sale): Promise<string> {
  const id = `re_owed_for_${charge}`;
  await db.query(
    `INSERT INTO sale_cancellations (account_id, order_id, charge_id, reason) VALUES ($1, $2, $3, 'out_of_stock')`,
    [account, order, charge],
  );
  await db.query(
    `INSERT INTO refunds (account_id, id, charge_id, status, amount, currency, cause, processor,
       processor_parameters, processor_reference, settled_at)
     VALUES ($1, $2, $3, 'succeeded', 1200, 'eur', 'out_of_stock:' || $3, 'sandbox', $4, 're_of_' || $3, now())`,
    [
      account,
      id,
      charge,
      JSON.stringify({ amount: 1200, metadata: { refund: id, charge, account } }),
    ],
  );
  await db.query(`UPDATE charges SET amount_refunded = 1200 WHERE account_id = $1 AND id = $2`, [
    account,
    charge,
  ]);
  await db.query(`UPDATE orders SET status = 'canceled' WHERE account_id = $1 AND id = $2`, [
    account,
    order,
  ]);
  await db.query(
    `INSERT INTO stock_movements (account_id, sku, cause, kind, quantity) VALUES ($1, 'shirt', $2, 'release', 2)`,
    [account, charge],
  );
  return id;
}

/** One receipt for each charge that paid an order: only these have an address. */
export async function sendReceipts(db: Database, account: string): Promise<void> {
  await db.query(
    `INSERT INTO sent_emails (account_id, message_id, event_id, recipient, epoch, sent_at)
     SELECT account_id, '<receipt.' || id || '>', id, 'ann@shop.test', 1, now() FROM events
     WHERE account_id = $1 AND type = 'charge.succeeded' AND data #>> '{object,order}' IS NOT NULL`,
    [account],
  );
}

/** Creates an endpoint that is older than the events. It receives the shipment's event at the second attempt. */
export async function deliver(db: Database, account: string, name: string) {
  const [endpoint, delivery] = [`we_${name}_${account}`, `del_${name}_${account}`];
  await db.query(
    `INSERT INTO webhook_endpoints (account_id, id, url, events, created_at)
     VALUES ($1, $2, 'https://shop.example/', '["fulfillment.created"]', now() - interval '1 hour')`,
    [account, endpoint],
  );
  await db.query(
    `INSERT INTO webhook_secrets (account_id, id, endpoint_id, secret, expires_at)
     VALUES ($1, 'whs_1_' || $2, $2, 'whsec_old', now() + interval '1 hour'), ($1, 'whs_2_' || $2, $2, 'whsec_new', NULL)`,
    [account, endpoint],
  );
  await db.query(
    `INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status, attempts, next_attempt_at)
     SELECT account_id, $3, $2, id, 'succeeded', 2, NULL FROM events
     WHERE account_id = $1 AND type = 'fulfillment.created'`,
    [account, endpoint, delivery],
  );
  await db.query(
    `INSERT INTO webhook_attempts (account_id, delivery_id, number, response_status)
     VALUES ($1, $2, 1, 500), ($1, $2, 2, 200)`,
    [account, delivery],
  );
  return { endpoint, delivery };
}
