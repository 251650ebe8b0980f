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

/** A row of `charges`. Amounts are in the currency's minor unit. */
export interface Charge {
  account_id: string;
  id: string;
  status: ChargeStatus;
  amount: number;
  amount_refunded: number;
  currency: string;
  payment_method: string;
  description: string | null;
  receipt_email: string | null;
  order_id: string | null;
  metadata: Record<string, string>;
  failure_code: string | null;
  decline_code: string | null;
  /** The processor that the charge was reserved for. No other processor may take the money. */
  processor: string;
  /** The exact parameters, as JSON text. Every attempt sends these. */
  processor_parameters: string;
  processor_reference: string | null;
  created_at: Date;
}

export function chargeToWire(charge: Charge) {
  return {
    id: charge.id,
    object: 'charge',
    amount: charge.amount,
    amount_refunded: charge.amount_refunded,
    currency: charge.currency,
    status: charge.status,
    payment_method: charge.payment_method,
    description: charge.description,
    receipt_email: charge.receipt_email,
    order: charge.order_id,
    metadata: charge.metadata,
    failure_code: charge.failure_code,
    decline_code: charge.decline_code,
    processor_reference: charge.processor_reference,
    created_at: charge.created_at.toISOString(),
  };
}

export type ChargeWire = ReturnType<typeof chargeToWire>;
