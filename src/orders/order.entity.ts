import type { NewEvent } from '../events/events.js';

/**
 * The states of an order. A pending charge *holds* an open order (`charge_id`): no client can edit, cancel or pay it
 * while money may move. The CHECK constraints of the table repeat these rules.
 *
 * | state | moved on by | after a crash |
 * |---|---|---|
 * | `open`, free | PUT (stays open), DELETE, the reserve of a charge (holds it) | stays |
 * | `open`, held | the end of that charge: paid, or free again | stays held until the charge is settled |
 * | `paid` | the saga that cancels a sale that cannot be delivered; not a refund | stays |
 * | `canceled` | final | stays |
 */
export const ORDER_STATES = {
  open: ['paid', 'canceled'],
  paid: ['canceled'],
  canceled: [],
} as const;

export type OrderStatus = keyof typeof ORDER_STATES;

export interface OrderItem {
  sku: string;
  quantity: number;
  /** In the currency's minor unit. */
  unit_amount: number;
}

/** What the client sets. Two orders are the same if their contents are equal. */
export interface OrderContent {
  currency: string;
  items: OrderItem[];
  email: string | null;
  metadata: Record<string, string>;
}

/** A row of `orders`. */
export interface Order extends OrderContent {
  account_id: string;
  id: string;
  status: OrderStatus;
  total: number;
  /** The pending charge that holds the order, or the charge that paid it. */
  charge_id: string | null;
  fulfillment_id: string | null;
  version: number;
  created_at: Date;
  updated_at: Date;
}

export function orderToWire(order: Order) {
  return {
    id: order.id,
    object: 'order',
    status: order.status,
    currency: order.currency,
    total: order.total,
    items: order.items,
    email: order.email,
    charge: order.charge_id,
    fulfillment: order.fulfillment_id,
    metadata: order.metadata,
    version: order.version,
    created_at: order.created_at.toISOString(),
    updated_at: order.updated_at.toISOString(),
  };
}

export type OrderWire = ReturnType<typeof orderToWire>;

export function orderEvent(type: 'order.paid' | 'order.canceled', order: Order): NewEvent {
  return { type, cause: order, object: orderToWire(order) };
}
