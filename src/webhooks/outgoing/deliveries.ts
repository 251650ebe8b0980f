import { Inject, Injectable } from '@nestjs/common';
import { eventToWire, type Event } from '../../events/event.entity.js';
import { EventResendOperation } from '../../events/event-resend.operation.js';
import { EventSubscribers } from '../../events/events.js';
import { Database, type Tx } from '../../database/database.js';
import { deriveId } from '../../idempotency/identity.js';
import type { AddressPolicy } from './address-policy.js';
import {
  beginAttempt,
  cancelAttempt,
  endAttempt,
  findOpenDelivery,
  failDeliveriesOf,
  failDelivery,
  insertDeliveries,
  type AttemptEnd,
} from './delivery.queries.js';
import type { Endpoint } from './endpoint.entity.js';
import { disableEndpoint, listEnabledEndpoints } from './endpoint.queries.js';
import { pauseAfter, PAUSES_MS } from './retry-schedule.js';
import { send, type Sent } from './sender.js';

export const ADDRESS_POLICY = Symbol('ADDRESS_POLICY');
export const DELIVERY_TIMEOUT_MS = Symbol('DELIVERY_TIMEOUT_MS');

/**
 * Sends events to merchants, at least once for each endpoint, always with the same `webhook-id`. The receiver must
 * deduplicate by it (docs/webhook-receiver.md), because no sender can know whether a lost response was processed.
 * Proof: test/white-box/webhooks/deliveries.spec.ts, delivery-attempts.spec.ts,
 * test/webhooks/delivery-claims.spec.ts, delivery-crash.spec.ts.
 */
@Injectable()
export class Deliveries {
  constructor(
    private readonly db: Database,
    @Inject(ADDRESS_POLICY) private readonly policy: AddressPolicy,
    @Inject(DELIVERY_TIMEOUT_MS) private readonly timeoutMs: number,
    events: EventSubscribers,
    resends: EventResendOperation,
  ) {
    events.subscribe(async (tx, event) => {
      await plan(tx, event, 'event');
      return []; // no jobs: DeliveryLoop finds the rows
    });
    resends.onResend((tx, event, resendId) => plan(tx, event, resendId));
  }

  /**
   * Makes one attempt at a due delivery.
   * @param signal aborts when the process is about to stop.
   */
  async deliver(accountId: string, id: string, signal: AbortSignal): Promise<void> {
    const delivery = await findOpenDelivery(this.db, accountId, id);
    if (!delivery) return;
    if (delivery.url === null) return failDeliveriesOf(this.db, accountId, delivery.endpoint_id);
    if (delivery.attempts > PAUSES_MS.length) return failDelivery(this.db, accountId, id); // each killed its process
    const number = await beginAttempt(this.db, accountId, id);
    if (number === undefined) return; // another process makes this attempt
    const sent = await send(
      {
        url: delivery.url,
        id: delivery.event.id,
        body: JSON.stringify(eventToWire(delivery.event)),
        secrets: delivery.secrets,
      },
      this.policy,
      signal,
      this.timeoutMs,
    );
    if (signal.aborted && sent.status === undefined)
      return cancelAttempt(this.db, accountId, id, number);
    // Crash here: delivered, not recorded. The lease expires, and the receiver gets the same webhook-id again.
    const end = endOf(sent, number);
    if (sent.status !== 410) {
      await endAttempt(this.db, accountId, id, number, end);
      return;
    }
    await this.db.transaction(async (tx) => {
      if (await endAttempt(tx, accountId, id, number, end))
        await disableEndpoint(tx, accountId, delivery.endpoint_id);
    });
  }
}

/** 410 (Gone) means that the endpoint wants no more events. */
function endOf(sent: Sent, number: number): AttemptEnd {
  if (sent.status !== undefined && sent.status >= 200 && sent.status <= 299)
    return { ...sent, delivery: 'succeeded', pauseMs: undefined };
  const pauseMs = sent.status === 410 ? undefined : pauseAfter(number, sent.retryAfterMs);
  return { ...sent, delivery: pauseMs === undefined ? 'failed' : 'pending', pauseMs };
}

/** Inserts one delivery for each endpoint that subscribed to the event. Existing ones stay unchanged. */
async function plan(tx: Tx, event: Event, cause: string): Promise<void> {
  const endpoints = await listEnabledEndpoints(tx, event.account_id);
  const deliveries = endpoints
    .filter((endpoint) => wants(endpoint, event))
    .map((endpoint) => ({
      // Derived from endpoint, event and, for a resend, its cause: planning twice makes one delivery.
      id: deriveId('del', event.account_id, `${endpoint.id} ${cause}`, event.id),
      endpoint_id: endpoint.id,
    }));
  await insertDeliveries(tx, event, deliveries);
}

function wants({ events }: Endpoint, { type }: Event): boolean {
  return events.includes(type) || events.includes('*');
}
