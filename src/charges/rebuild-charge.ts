import { orderEvent, type Order } from '../orders/order.entity.js';
import { endHold, findOrder, holdOrder } from '../orders/order.queries.js';
import { recordEvent } from '../events/events.js';
import { isDerivedId } from '../idempotency/identity.js';
import type { Tx } from '../database/database.js';
import { MAX_AMOUNT } from '../money/amounts.js';
import type { Payment, Processor } from '../processor/processor.js';
import { holdStock } from '../stock/stock.js';
import { findCharge } from './charge.queries.js';
import { settleCharge } from './settle-charge.js';

/** A succeeded payment that names one of our charges. */
export type OurPayment = Payment & { charge: string; account: string };

/** Whether a payment names a charge that we could have reserved. Other programs may use the same metadata keys. */
export function isOurPayment(payment: Payment): payment is OurPayment {
  const { charge, account, amount } = payment;
  return account !== undefined && isDerivedId('ch', charge) && amount <= MAX_AMOUNT;
}

/** The order is missing, has another total, is held, paid or canceled, or its stock is short. */
export class OrderCannotTakeIt extends Error {}

/**
 * `paid`: the rebuilt charge pays its order. `guarded`: it does not pay its order, but the unique index still prevents
 * another charge for that order. `none`: it is not linked to an order.
 */
export type OrderRelation = 'paid' | 'guarded' | 'none';

/**
 * Writes the row of a lost charge (a restore from an older backup, a failover that lost commits) from the processor's
 * payment. The row has its old id, so a late retry of the key finds it and cannot charge again. Events, receipts and
 * shipments follow as for any charge; their ids are the old ones, so receivers recognise duplicates.
 *
 * @returns false if the charge exists, or, unless the relation is `none`, if the order has another live charge.
 * @throws OrderCannotTakeIt with the relation `paid`.
 */
export async function rebuildCharge(
  tx: Tx,
  processor: Processor,
  payment: OurPayment,
  relation: OrderRelation,
): Promise<boolean> {
  const { account: accountId, charge: id } = payment;
  const order = relation === 'paid' ? await openOrder(tx, payment) : undefined;
  const lost = relation === 'guarded' ? payment.order : undefined;
  if (!(await insertRebuilt(tx, processor, payment, order?.id, lost))) {
    // If the row exists, another process inserted it first. Otherwise the order has another live charge.
    if (order && !(await findCharge(tx, accountId, id))) throw new OrderCannotTakeIt();
    return false;
  }
  if (order) await takeOrder(tx, order, id);
  const end = { status: 'succeeded', reference: payment.reference } as const;
  await settleCharge(tx, end, { accountId, id });
  return true;
}

/**
 * Marks the order paid if an earlier run could not, because the order was missing or could not take the charge.
 * @returns false if there is nothing to mark. @throws OrderCannotTakeIt
 */
export async function payLostOrder(tx: Tx, payment: OurPayment): Promise<boolean> {
  const { account: accountId, charge: id } = payment;
  const guarded = await tx.query(
    `SELECT 1 FROM charges WHERE account_id = $1 AND id = $2 AND status = 'succeeded'
       AND lost_order_id IS NOT NULL AND amount_refunded < amount FOR UPDATE`,
    [accountId, id],
  );
  if (guarded.length === 0) return false;
  const order = await openOrder(tx, payment);
  await takeOrder(tx, order, id);
  await tx.query(
    `UPDATE charges SET order_id = lost_order_id, lost_order_id = NULL WHERE account_id = $1 AND id = $2`,
    [accountId, id],
  );
  const paid = await endHold(tx, accountId, order.id, id, true);
  await recordEvent(tx, orderEvent('order.paid', paid));
  return true;
}

async function openOrder(tx: Tx, payment: OurPayment): Promise<Order> {
  const { account, order: id, amount, currency } = payment;
  const order = id === undefined ? undefined : await findOrder(tx, account, id);
  if (order?.total !== amount || order.currency !== currency) throw new OrderCannotTakeIt();
  return order;
}

async function takeOrder(tx: Tx, order: Order, chargeId: string): Promise<void> {
  const isHeld =
    (await holdOrder(tx, order, chargeId)) &&
    (await holdStock(tx, order.account_id, chargeId, order.items));
  if (!isHeld) throw new OrderCannotTakeIt();
}

async function insertRebuilt(
  tx: Tx,
  processor: Processor,
  payment: OurPayment,
  orderId: string | undefined,
  lostOrderId: string | undefined,
): Promise<boolean> {
  const { account, charge, amount, currency, description, order, createdAt } = payment;
  const paymentMethod = payment.paymentMethod ?? 'unknown';
  const parameters = processor.prepare({
    amount,
    currency,
    payment_method: paymentMethod,
    ...(description !== null && { description }),
    metadata: { charge, account, ...(order !== undefined && { order }) },
  });
  const inserted = await tx.query(
    `INSERT INTO charges (account_id, id, status, amount, currency, payment_method, description, order_id,
       lost_order_id, metadata, processor, processor_parameters, created_at, rebuilt_at)
     VALUES ($1, $2, 'pending', $3, $4, $5, $6, $7, $8, '{}', $9, $10, $11, now())
     ON CONFLICT DO NOTHING RETURNING id`,
    [
      account,
      charge,
      amount,
      currency,
      paymentMethod,
      description,
      orderId ?? null,
      lostOrderId ?? null,
      processor.name,
      parameters,
      createdAt.toISOString(),
    ],
  );
  return inserted.length === 1;
}
