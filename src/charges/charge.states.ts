/**
 * The states of a charge. The CHECK constraints of the table repeat these rules.
 *
 * | state | moved on by | after a crash |
 * |---|---|---|
 * | `pending` | the holder of the idempotency record, or the processor's webhook | stays; any process continues it |
 * | `succeeded` | final (`amount_refunded` grows, and falls when a succeeded refund fails later) | stays |
 * | `failed` | final | stays |
 */
export const CHARGE_STATES = {
  pending: ['succeeded', 'failed'],
  succeeded: [],
  failed: [],
} as const;

export type ChargeStatus = keyof typeof CHARGE_STATES;
