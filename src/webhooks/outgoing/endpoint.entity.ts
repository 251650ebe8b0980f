import type { EventType } from '../../events/event.entity.js';
import type { ResourceLink } from '../../idempotency/errors.js';

export interface Endpoint {
  account_id: string;
  id: string;
  url: string;
  events: (EventType | '*')[];
  created_at: Date;
  /** Set when the receiver answered 410 (Gone). */
  disabled_at: Date | null;
}

export function endpointToWire({ id, url, events, disabled_at, created_at }: Endpoint) {
  return {
    id,
    object: 'webhook_endpoint',
    url,
    events,
    status: disabled_at === null ? 'enabled' : 'disabled',
    created_at: created_at.toISOString(),
  };
}

export type EndpointWire = ReturnType<typeof endpointToWire>;

export function endpointLink(id: string): ResourceLink {
  return { object: 'webhook_endpoint', id, url: `/webhook-endpoints/${id}` };
}
