import type { Database, Queryable, Tx } from '../database/database.js';
import type { Order, OrderContent } from './order.entity.js';

export const ORDER_COLUMNS =
  'account_id, id, status, currency, total, items, email, metadata, charge_id, fulfillment_id, version, created_at, updated_at';

export async function findOrder(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<Order | undefined> {
  const rows = await db.query<Order>(
    `SELECT ${ORDER_COLUMNS} FROM orders WHERE account_id = $1 AND id = $2`,
    [accountId, id],
  );
  return rows[0];
}

/** @returns undefined if the id is taken. */
export async function insertOrder(
  db: Queryable,
  accountId: string,
  id: string,
  content: OrderContent,
): Promise<Order | undefined> {
  const rows = await db.query<Order>(
    `INSERT INTO orders (account_id, id, status, currency, total, items, email, metadata, version)
     VALUES ($1, $2, 'open', $3, $4, $5, $6, $7, 1)
     ON CONFLICT (account_id, id) DO NOTHING RETURNING ${ORDER_COLUMNS}`,
    [accountId, id, ...valuesOf(content)],
  );
  return rows[0];
}

/** Replaces the content of an open order that no charge holds. @returns undefined if the order has changed. */
export async function updateOrder(
  db: Database,
  order: Order,
  content: OrderContent,
): Promise<Order | undefined> {
  const rows = await db.query<Order>(
    `UPDATE orders SET currency = $4, total = $5, items = $6, email = $7, metadata = $8,
       version = version + 1, updated_at = now()
     WHERE account_id = $1 AND id = $2 AND version = $3 AND status = 'open' AND charge_id IS NULL
     RETURNING ${ORDER_COLUMNS}`,
    [order.account_id, order.id, order.version, ...valuesOf(content)],
  );
  return rows[0];
}

/** Cancels an open order that no charge holds. @returns undefined if the order has changed. */
export async function cancelOrder(tx: Tx, order: Order): Promise<Order | undefined> {
  const rows = await tx.query<Order>(
    `UPDATE orders SET status = 'canceled', version = version + 1, updated_at = now()
     WHERE account_id = $1 AND id = $2 AND version = $3 AND status = 'open' AND charge_id IS NULL
     RETURNING ${ORDER_COLUMNS}`,
    [order.account_id, order.id, order.version],
  );
  return rows[0];
}

/**
 * Holds the order, as it was read, for a charge. Until the charge ends, no client can edit, cancel or pay the order.
 * @returns false if the order has changed since it was read.
 */
export async function holdOrder(tx: Tx, order: Order, chargeId: string): Promise<boolean> {
  const held = await tx.query(
    `UPDATE orders SET charge_id = $4, version = version + 1, updated_at = now()
     WHERE account_id = $1 AND id = $2 AND version = $3 AND status = 'open' AND charge_id IS NULL
     RETURNING id`,
    [order.account_id, order.id, order.version, chargeId],
  );
  return held.length === 1;
}

/** Ends the hold when the charge ends: the order is paid, or open and free again. */
export async function endHold(
  tx: Tx,
  accountId: string,
  id: string,
  chargeId: string,
  paid: boolean,
): Promise<Order> {
  const rows = await tx.query<Order>(
    `UPDATE orders SET status = $4, charge_id = $5, version = version + 1, updated_at = now()
     WHERE account_id = $1 AND id = $2 AND charge_id = $3 AND status = 'open'
     RETURNING ${ORDER_COLUMNS}`,
    [accountId, id, chargeId, paid ? 'paid' : 'open', paid ? chargeId : null],
  );
  if (!rows[0]) throw new Error(`order ${id} is not held by ${chargeId}`); // rolls the settle back
  return rows[0];
}

/**
 * Locks the order that a charge paid, so that shipment and cancellation run one after the other. The sale may already
 * be canceled.
 * @throws Error if the charge did not pay this order: the job stays in the queue.
 */
export async function lockSoldOrder(
  tx: Tx,
  accountId: string,
  id: string,
  chargeId: string,
): Promise<Order> {
  const rows = await tx.query<Order>(
    `SELECT ${ORDER_COLUMNS} FROM orders
     WHERE account_id = $1 AND id = $2 AND charge_id = $3 AND status IN ('paid', 'canceled') FOR UPDATE`,
    [accountId, id, chargeId],
  );
  if (!rows[0]) throw new Error(`${chargeId} has paid no order ${id}`);
  return rows[0];
}

export async function setFulfillment(tx: Tx, order: Order, fulfillmentId: string): Promise<void> {
  await tx.query(
    `UPDATE orders SET fulfillment_id = $3, version = version + 1, updated_at = now()
     WHERE account_id = $1 AND id = $2`,
    [order.account_id, order.id, fulfillmentId],
  );
}

/** Cancels a paid order that cannot be delivered, after its refund. The caller holds the order's lock. */
export async function cancelPaidOrder(tx: Tx, order: Order): Promise<Order> {
  const rows = await tx.query<Order>(
    `UPDATE orders SET status = 'canceled', version = version + 1, updated_at = now()
     WHERE account_id = $1 AND id = $2 AND status = 'paid' RETURNING ${ORDER_COLUMNS}`,
    [order.account_id, order.id],
  );
  if (!rows[0]) throw new Error(`order ${order.id} is not paid`);
  return rows[0];
}

/** In minor units. */
export function totalOf({ items }: Pick<OrderContent, 'items'>): number {
  return items.reduce((sum, { quantity, unit_amount }) => sum + quantity * unit_amount, 0);
}

function valuesOf(content: OrderContent): unknown[] {
  const { currency, items, email, metadata } = content;
  return [currency, totalOf(content), JSON.stringify(items), email, JSON.stringify(metadata)];
}
