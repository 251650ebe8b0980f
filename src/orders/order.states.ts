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
