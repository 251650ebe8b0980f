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
  abandonDelivery,
  insertDeliveries,
  type AttemptEnd,
} from './delivery.queries.js';
import type { Endpoint } from './endpoint.entity.js';
import { disableEndpoint, listEnabledEndpoints } from './endpoint.queries.js';
import { pauseAfter, PAUSES_MS } from './retry-schedule.js';
import { send, type Limits, type Sent } from './sender.js';

export const ADDRESS_POLICY = Symbol('ADDRESS_POLICY');
export const LIMITS = Symbol('LIMITS');

/**
 * Sends events to merchants, at least once for each endpoint, always under the same `webhook-id`: to apply it exactly
 * once is the receiver's part (docs/webhook-receiver.md), as it is for everyone who answers a network.
 * Proof: test/white-box/webhooks/deliveries.spec.ts, delivery-crash.spec.ts.
 */
@Injectable()
export class Deliveries {
  constructor(
    private readonly db: Database,
    @Inject(ADDRESS_POLICY) private readonly policy: AddressPolicy,
    @Inject(LIMITS) private readonly limits: Limits,
    events: EventSubscribers,
    resends: EventResendOperation,
  ) {
    events.subscribe(async (tx, event) => {
      await plan(tx, event, 'event');
      return []; // the rows are the queue: DeliveryLoop finds them
    });
    resends.onResend((tx, event, resendId) => plan(tx, event, resendId));
  }

  /**
   * Makes one attempt at a delivery that is due.
   * @param signal aborts when the process is about to stop.
   */
  async deliver(accountId: string, id: string, signal: AbortSignal): Promise<void> {
    const delivery = await findOpenDelivery(this.db, accountId, id);
    if (!delivery) return;
    // No endpoint wants it any more, or each of its attempts has ended its process.
    if (delivery.url === null || delivery.attempts > PAUSES_MS.length)
      return abandonDelivery(this.db, accountId, id);
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
      this.limits,
    );
    if (signal.aborted && sent.status === undefined)
      return cancelAttempt(this.db, accountId, id, number);
    // Dies here: delivered, not recorded. The lease ends, and the receiver gets the same webhook-id again.
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

/** What an attempt means for its delivery. 410 (Gone): the endpoint wants no more. */
function endOf(sent: Sent, number: number): AttemptEnd {
  if (sent.status !== undefined && sent.status >= 200 && sent.status <= 299)
    return { ...sent, delivery: 'succeeded', pauseMs: undefined };
  const pauseMs = sent.status === 410 ? undefined : pauseAfter(number, sent.retryAfterMs);
  return { ...sent, delivery: pauseMs === undefined ? 'failed' : 'pending', pauseMs };
}

/** One delivery for each endpoint that wants the event; those that exist already are left alone. */
async function plan(tx: Tx, event: Event, cause: string): Promise<void> {
  const endpoints = await listEnabledEndpoints(tx, event.account_id);
  const deliveries = endpoints
    .filter((endpoint) => wants(endpoint, event))
    .map((endpoint) => ({
      // Derived from endpoint, event and (for a resend) its cause: planned twice, it is one delivery.
      id: deriveId('del', event.account_id, `${endpoint.id} ${cause}`, event.id),
      endpoint_id: endpoint.id,
    }));
  await insertDeliveries(tx, event, deliveries);
}

function wants({ events }: Endpoint, { type }: Event): boolean {
  return events.includes(type) || events.includes('*');
}
