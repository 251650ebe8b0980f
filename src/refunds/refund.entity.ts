/**
 * The states of a refund: like those of a charge, but never abandoned, because we owe the money.
 *
 * | state | moved on by | after a crash |
 * |---|---|---|
 * | `pending` | the holder of the idempotency record, or the processor's webhook | stays; any process continues it |
 * | `succeeded` | the processor's report that it failed later: webhook, reconciliation, or its list, read when another refund is refused | stays |
 * | `failed` | final | stays |
 *
 * At the processor a refund moves only in this order, so a late `succeeded` never undoes a `failed`. A refund made at
 * the processor is booked as it ended there and is never `pending` here. If it turns out to be one of ours without its
 * ids, that row fails, and our row takes over its reference and its amount.
 */
export const REFUND_STATES = {
  pending: ['succeeded', 'failed'],
  succeeded: ['failed'],
  failed: [],
} as const;

/** A row of `refunds`. The amount is in the currency's minor unit. */
export interface Refund {
  account_id: string;
  id: string;
  charge_id: string;
  status: keyof typeof REFUND_STATES;
  amount: number;
  currency: string;
  reason: string | null;
  /**
   * Why we owe this refund; null if a client requested it. After a refused refund, the next one ends in `#2`, `#3`, ….
   */
  cause: string | null;
  failure_code: string | null;
  processor: string;
  /** When it failed after it had succeeded, so that its amount can be refunded again. Null otherwise. */
  reversed_at: Date | null;
  /** The exact parameters, as JSON text. Every attempt sends these. */
  processor_parameters: string;
  processor_reference: string | null;
  created_at: Date;
}

export function refundToWire(refund: Refund) {
  return {
    id: refund.id,
    object: 'refund',
    charge: refund.charge_id,
    amount: refund.amount,
    currency: refund.currency,
    status: refund.status,
    reason: refund.reason,
    failure_code: refund.failure_code,
    processor_reference: refund.processor_reference,
    created_at: refund.created_at.toISOString(),
  };
}

export type RefundWire = ReturnType<typeof refundToWire>;
