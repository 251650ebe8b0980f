/**
 * A delivery of one event to one endpoint; each attempt has a separate row.
 *
 * | status | moved on by | after a crash |
 * |---|---|---|
 * | `pending` | the process that claims it when it is due, by moving `next_attempt_at` to the end of a lease | it is due again when the lease expires |
 * | `succeeded` | final: the receiver answered 2xx | stays |
 * | `failed` | final: 410, no 2xx in three days, or the endpoint was deleted; the API can resend the event | stays |
 */
export interface Delivery {
  account_id: string;
  id: string;
  endpoint_id: string;
  event_id: string;
  status: 'pending' | 'succeeded' | 'failed';
  attempts: number;
  /** During an attempt: when the next attempt is due, unless this one is recorded first. Null at the end. */
  next_attempt_at: Date | null;
  created_at: Date;
  /** The result of the latest attempt. */
  response_status: number | null;
  error: string | null;
}

export function deliveryToWire(delivery: Delivery) {
  return {
    id: delivery.id,
    object: 'delivery',
    endpoint: delivery.endpoint_id,
    event: delivery.event_id,
    status: delivery.status,
    attempts: delivery.attempts,
    response_status: delivery.response_status,
    error: delivery.error,
    next_attempt_at: delivery.next_attempt_at?.toISOString() ?? null,
    created_at: delivery.created_at.toISOString(),
  };
}

export type DeliveryWire = ReturnType<typeof deliveryToWire>;
