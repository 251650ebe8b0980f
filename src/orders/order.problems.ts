import { isCurrency, stepOf } from '../money/currencies.js';
import { Problem, validationFailed } from '../http/problems/problem.js';
import { chargeLink, orderLink, type Order } from './order.entity.js';

/** Why an order can be neither changed, canceled nor charged now; undefined if it can. */
export function whyOrderIsClosed(order: Order): Problem | undefined {
  if (order.status === 'canceled') {
    return new Problem('order_canceled', 'The order is canceled.', {
      extensions: { resource: orderLink(order.id) },
    });
  }
  if (order.charge_id === null) return undefined;
  const extensions = { resource: chargeLink(order.charge_id) };
  if (order.status === 'paid') {
    return new Problem('order_already_paid', 'The order is paid.', { extensions });
  }
  return new Problem('payment_pending', 'A charge for this order has not ended yet.', {
    extensions,
    headers: { 'Retry-After': '1' },
  });
}

/** For orders older than the table of currencies. @throws Problem `validation_failed` */
export function refuseUnlessPayable({ currency, total }: Order): void {
  if (isCurrency(currency) && total % stepOf(currency) === 0) return;
  const detail = `the order's ${total} ${currency} cannot be charged: give the order another currency or total`;
  throw validationFailed([{ pointer: '/currency', detail }]);
}
