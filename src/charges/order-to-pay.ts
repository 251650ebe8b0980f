import type { Order } from '../orders/order.entity.js';
import {
  ORDER_ALREADY_PAID,
  refuseUnlessPayable,
  whyOrderIsClosed,
} from '../orders/order.problems.js';
import { findOrder } from '../orders/order.queries.js';
import type { Tx } from '../database/database.js';
import { Problem, validationFailed } from '../http/problems/problem.js';
import type { CreateCharge } from './charge.dto.js';
import { findChargeOfLostOrder } from './charge.queries.js';
import { NOT_FOUND } from '../idempotency/problem-types.js';
import { linkTo } from '../http/resource-link.js';

/** The order, if this request can pay it. @throws Problem 404, 400 or 409. */
export async function payableOrder(
  tx: Tx,
  accountId: string,
  request: CreateCharge,
  orderId: string,
): Promise<Order> {
  const order = await findOrder(tx, accountId, orderId);
  if (!order) throw new Problem(NOT_FOUND, 'No such order.', { retry: 'after_fix' });
  const errors = [
    {
      pointer: '/amount',
      detail: `must be the order's total, ${order.total}, or left out`,
      given: request.amount,
      ours: order.total,
    },
    {
      pointer: '/currency',
      detail: `must be the order's, ${order.currency}, or left out`,
      given: request.currency,
      ours: order.currency,
    },
  ].filter(({ given, ours }) => given !== undefined && given !== ours);
  if (errors.length > 0)
    throw validationFailed(errors.map(({ pointer, detail }) => ({ pointer, detail })));
  const closed = whyOrderIsClosed(order);
  if (closed) throw closed;
  refuseUnlessPayable(order);
  return order;
}

/** Why an order cannot be paid now even though it was open when it was read. */
export async function whyNotPayable(
  tx: Tx,
  { account_id, id }: Order,
): Promise<Problem | undefined> {
  const order = await findOrder(tx, account_id, id);
  const closed = order && whyOrderIsClosed(order);
  if (closed) return closed;
  // The order was paid before a restore and does not show it. Its charge was rebuilt from the processor's ledger.
  const charge = await findChargeOfLostOrder(tx, account_id, id);
  if (charge === undefined) return undefined;
  return new Problem(ORDER_ALREADY_PAID, 'The order is paid.', {
    extensions: { resource: linkTo('charge', charge) },
  });
}
