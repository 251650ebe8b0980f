/**
 * The states of a refund: as a charge's, but never abandoned, because the money is owed.
 *
 * | state | moved on by | after a crash |
 * |---|---|---|
 * | `pending` | whoever holds the idempotency record, or the processor's webhook | stays; any process goes on |
 * | `succeeded` | the processor's word that it failed after all: its webhook, reconciliation, or its list that is read when another refund is refused | stays |
 * | `failed` | nobody | stays |
 *
 * At the processor a refund moves in this order only, so that a late `succeeded` never undoes a `failed`. One that was
 * made at the processor's own desk is booked as it ended there; it is never `pending` here. If it turns out to be one of
 * ours, whose names were edited away there, it fails, and the row of ours takes over its reference and its sum.
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
   * Of a refund that we make ourselves: one that lives for a cause; each that follows a refused one has its number
   * behind it (`…#2`). Null for a client's.
   */
  cause: string | null;
  failure_code: string | null;
  processor: string;
  /** When it failed after it had succeeded, and its amount came back to what can be refunded. Null otherwise. */
  reversed_at: Date | null;
  /** The exact parameters, as JSON text: every repeat sends these. */
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
