import { isCurrency, stepOf } from '../money/currencies.js';
import { Problem, validationFailed } from '../http/problems/problem.js';
import type { Order } from './order.entity.js';
import type { ProblemType } from '../idempotency/problem-types.js';
import { EXAMPLE_CHARGE, PAYMENT_PENDING } from '../processor/processor.problems.js';
import { linkTo, namesResource } from '../http/resource-link.js';

export const ORDER_ALREADY_PAID = {
  code: 'order_already_paid',
  status: 409,
  retry: 'no',
  title: 'The order is paid',
  what: 'The order has its one payment: `resource`.',
  why: 'A unique index allows one live charge for each order, whatever the key, client or server.',
  todo: 'Look at `resource`. There is nothing left to pay.',
  ...namesResource(EXAMPLE_CHARGE),
} as const satisfies ProblemType;

export const ORDER_CANCELED = {
  code: 'order_canceled',
  status: 409,
  retry: 'no',
  title: 'The order is canceled',
  what: 'A canceled order is neither charged nor changed.',
  why: 'Cancellation is final.',
  todo: 'Create a new order.',
  ...namesResource(EXAMPLE_CHARGE),
} as const satisfies ProblemType;

/** Why an order can be neither changed, canceled nor charged now; undefined if it can. */
export function whyOrderIsClosed(order: Order): Problem | undefined {
  if (order.status === 'canceled') {
    return new Problem(ORDER_CANCELED, 'The order is canceled.', {
      extensions: { resource: linkTo('order', order.id) },
    });
  }
  if (order.charge_id === null) return undefined;
  const extensions = { resource: linkTo('charge', order.charge_id) };
  if (order.status === 'paid') {
    return new Problem(ORDER_ALREADY_PAID, 'The order is paid.', { extensions });
  }
  return new Problem(PAYMENT_PENDING, 'A charge for this order has not ended yet.', { extensions });
}

/** For orders older than the table of currencies. @throws Problem `validation_failed` */
export function refuseUnlessPayable({ currency, total }: Order): void {
  if (isCurrency(currency) && total % stepOf(currency) === 0) return;
  const detail = `the order's ${total} ${currency} cannot be charged: give the order another currency or total`;
  throw validationFailed([{ pointer: '/currency', detail }]);
}
