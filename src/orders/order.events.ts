import type { NewEvent } from '../events/events.js';
import { orderToWire, type Order } from './order.entity.js';

export function orderPaid(order: Order): NewEvent {
  return {
    accountId: order.account_id,
    type: 'order.paid',
    cause: order.id,
    object: orderToWire(order),
  };
}

export function orderCanceled(order: Order): NewEvent {
  return {
    accountId: order.account_id,
    type: 'order.canceled',
    cause: order.id,
    object: orderToWire(order),
  };
}
