/**
 * The states of an order. A charge *holds* an open order (`charge_id`), so that nobody edits, cancels or pays it while
 * money may move. The CHECK constraints of the table repeat these rules.
 *
 * | state | moved on by | after a crash |
 * |---|---|---|
 * | `open`, free | PUT (stays open), DELETE, the reserve of a charge (holds it) | stays |
 * | `open`, held | the end of that charge: paid, or free again | stays held until the charge is settled |
 * | `paid` | nobody, a refund does not; only the saga of an order that cannot be delivered cancels it | stays |
 * | `canceled` | nobody | stays |
 */
export const ORDER_STATES = {
  open: ['paid', 'canceled'],
  paid: ['canceled'],
  canceled: [],
} as const;

export type OrderStatus = keyof typeof ORDER_STATES;
