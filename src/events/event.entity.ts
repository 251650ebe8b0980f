/** Past tense: each event reports something that has been committed. */
export const EVENT_TYPES = [
  'charge.succeeded',
  'charge.failed',
  'charge.refunded',
  'refund.failed',
  'order.paid',
  'order.canceled',
  'fulfillment.created',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** A row of `events`. `data` is a snapshot of the object, as the API showed it then. */
export interface Event {
  account_id: string;
  id: string;
  type: EventType;
  /** The id of the object that caused it. Cause and type identify the event. */
  cause: string;
  data: { object: Record<string, unknown> };
  created_at: Date;
}

/** The same bytes in the API and in every delivery. */
export function eventToWire({ id, type, data, created_at }: Event) {
  return { id, object: 'event', type, data, created_at: created_at.toISOString() };
}

export type EventWire = ReturnType<typeof eventToWire>;
