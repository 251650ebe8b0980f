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

/** New content for an open order that no charge holds. @returns undefined if it has moved on. */
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

/** Cancels an open order that no charge holds. @returns undefined if it has moved on. */
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
 * A charge takes the order, as it was read: from here until its end nobody edits, cancels or pays it.
 * @returns false if the order has moved on since.
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

/** The end of the charge that holds the order: paid, or open and free again. */
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
  if (!rows[0]) throw new Error(`order ${id} is not held by ${chargeId}`); // rolls the settling back
  return rows[0];
}

/**
 * Locks the order that a charge has paid, so that what follows from its payment is done one after the other. Its sale
 * may have been canceled since.
 * @throws Error if the charge has paid no such order: a job about it is not done.
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

/** The order shows its shipment. */
export async function setFulfillment(tx: Tx, order: Order, fulfillmentId: string): Promise<void> {
  await tx.query(
    `UPDATE orders SET fulfillment_id = $3, version = version + 1, updated_at = now()
     WHERE account_id = $1 AND id = $2`,
    [order.account_id, order.id, fulfillmentId],
  );
}

/** Cancels a paid order whose charge goes back, because it cannot be delivered. The lock is held by the caller. */
export async function cancelPaidOrder(tx: Tx, order: Order): Promise<Order> {
  const rows = await tx.query<Order>(
    `UPDATE orders SET status = 'canceled', version = version + 1, updated_at = now()
     WHERE account_id = $1 AND id = $2 AND status = 'paid' RETURNING ${ORDER_COLUMNS}`,
    [order.account_id, order.id],
  );
  if (!rows[0]) throw new Error(`order ${order.id} is not paid`);
  return rows[0];
}

/** The sum of an order, in minor units. */
export function totalOf({ items }: Pick<OrderContent, 'items'>): number {
  return items.reduce((sum, { quantity, unit_amount }) => sum + quantity * unit_amount, 0);
}

function valuesOf(content: OrderContent): unknown[] {
  const { currency, items, email, metadata } = content;
  return [currency, totalOf(content), JSON.stringify(items), email, JSON.stringify(metadata)];
}
