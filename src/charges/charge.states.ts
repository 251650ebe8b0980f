/**
 * The states of a charge. The CHECK constraints of the table repeat these rules.
 *
 * | state | moved on by | after a crash |
 * |---|---|---|
 * | `pending` | whoever holds the idempotency record, or the processor's webhook | stays; any process goes on |
 * | `succeeded` | nobody (`amount_refunded` grows, and falls when a refund fails after all) | stays |
 * | `failed` | nobody | stays |
 */
export const CHARGE_STATES = {
  pending: ['succeeded', 'failed'],
  succeeded: [],
  failed: [],
} as const;

export type ChargeStatus = keyof typeof CHARGE_STATES;
