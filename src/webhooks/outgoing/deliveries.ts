import { Inject, Injectable } from '@nestjs/common';
import { eventToWire, type Event } from '../../events/event.entity.js';
import { EventResendOperation } from '../../events/event-resend.operation.js';
import { EventSubscribers } from '../../events/events.js';
import { deriveId } from '../../idempotency/identity.js';
import { enqueue, JobRegistry, PutOff, type NewJob, type Payload } from '../../jobs/jobs.js';
import { Database, type Tx } from '../../platform/database.js';
import type { AddressPolicy } from './address-policy.js';
import {
  beginAttempt,
  cancelAttempt,
  endAttempt,
  findOpenDelivery,
  giveUp,
  insertDelivery,
  type OpenDelivery,
} from './delivery.queries.js';
import type { Endpoint } from './endpoint.entity.js';
import { disableEndpoint, listEnabledEndpoints } from './endpoint.queries.js';
import { pauseAfter } from './retry-schedule.js';
import { send, type Limits, type Sent } from './sender.js';

export const ADDRESS_POLICY = Symbol('ADDRESS_POLICY');
export const LIMITS = Symbol('LIMITS');

const DELIVER = 'deliver-webhook';

/**
 * Tells merchants, at least once per endpoint, always under the same `webhook-id`: exactly once is the receiver's
 * part (docs/webhook-receiver.md), as it is for everybody who answers a network.
 * Proof: test/webhooks/deliveries.spec.ts, delivery-crash.spec.ts.
 */
@Injectable()
export class Deliveries {
  constructor(
    private readonly db: Database,
    @Inject(ADDRESS_POLICY) private readonly policy: AddressPolicy,
    @Inject(LIMITS) private readonly limits: Limits,
    events: EventSubscribers,
    resends: EventResendOperation,
    jobs: JobRegistry,
  ) {
    events.subscribe((tx, event) => plan(tx, event, 'event'));
    resends.onResend(async (tx, event, resendId) => {
      for (const job of await plan(tx, event, resendId)) await enqueue(tx, job);
    });
    jobs.register(DELIVER, (payload, signal) => this.deliver(payload, signal), {
      place: 'receivers',
      sharers: ({ account, endpoint }) => sharers(String(account), String(endpoint)),
    });
  }

  private async deliver(payload: Payload, signal: AbortSignal): Promise<void> {
    const { db } = this;
    const [accountId, id] = [String(payload.account), String(payload.delivery)];
    const delivery = await findOpenDelivery(db, accountId, id);
    if (!delivery || isObsolete(payload, delivery)) return;
    if (delivery.early_ms > 0) throw new PutOff(`${id} waits for its time`, delivery.early_ms);
    if (delivery.url === null) return giveUp(db, accountId, id); // nobody wants it any more
    const number = await beginAttempt(db, accountId, id);
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
    if (signal.aborted && sent.status === undefined) {
      await cancelAttempt(db, accountId, id, number);
      throw new PutOff('interrupted on our side', 0);
    }
    // Dies here: delivered, not recorded. The lease runs out and the receiver sees the same webhook-id again.
    const attempt = { accountId, id, endpointId: delivery.endpoint_id, number };
    const known = isSuccess(sent)
      ? await recordSuccess(db, attempt, sent)
      : await db.transaction((tx) => recordFailure(tx, attempt, sent));
    if (!known) throw new Error(`${id} slept past its lease; another attempt tells`);
  }
}

/** The job for an attempt, by its number. */
function deliver(accountId: string, id: string, endpointId: string, attempt: number): NewJob {
  return {
    job: DELIVER,
    payload: { account: accountId, delivery: id, endpoint: endpointId, attempt },
    flags: ['receivers', ...sharers(accountId, endpointId)],
  };
}

function sharers(accountId: string, endpointId: string): string[] {
  return [accountId, endpointId];
}

/** Whether the attempt that this job is for has ended, so that the next one has a job of its own. */
function isObsolete({ attempt }: Payload, { attempts, is_planned }: OpenDelivery): boolean {
  return is_planned && attempts >= Number(attempt);
}

/** One delivery for each endpoint that wants the event; those that exist already are left alone. */
async function plan(tx: Tx, event: Event, cause: string): Promise<NewJob[]> {
  const jobs: NewJob[] = [];
  for (const endpoint of await listEnabledEndpoints(tx, event.account_id)) {
    if (!wants(endpoint, event)) continue;
    // Derived from endpoint, event and (for a resend) its cause: planned twice, it is one delivery.
    const id = deriveId('del', event.account_id, `${endpoint.id} ${cause}`, event.id);
    const isNew = await insertDelivery(tx, {
      account_id: event.account_id,
      id,
      endpoint_id: endpoint.id,
      event_id: event.id,
    });
    if (isNew) jobs.push(deliver(event.account_id, id, endpoint.id, 1));
  }
  return jobs;
}

function wants({ events }: Endpoint, { type }: Event): boolean {
  return events.includes(type) || events.includes('*');
}

function isSuccess({ status }: Sent): boolean {
  return status !== undefined && status >= 200 && status <= 299;
}

interface Attempt {
  accountId: string;
  id: string;
  endpointId: string;
  number: number;
}

/** One statement, so it needs no transaction. @returns as `endAttempt`. */
function recordSuccess(db: Database, attempt: Attempt, sent: Sent): Promise<boolean> {
  const { accountId, id, number } = attempt;
  const end = { ...sent, delivery: 'succeeded', pauseMs: undefined } as const;
  return endAttempt(db, accountId, id, number, end);
}

/**
 * Records the failed attempt and adds the job of the next one, if there is one: both or neither.
 * @returns false if another attempt has taken over. That attempt records the result.
 */
async function recordFailure(tx: Tx, attempt: Attempt, sent: Sent): Promise<boolean> {
  const { accountId, id, endpointId, number } = attempt;
  const gone = sent.status === 410;
  const pauseMs = gone ? undefined : pauseAfter(number, sent.retryAfterMs);
  const delivery = pauseMs === undefined ? 'failed' : 'pending';
  if (!(await endAttempt(tx, accountId, id, number, { ...sent, delivery, pauseMs }))) return false;
  if (gone) await disableEndpoint(tx, accountId, endpointId);
  if (pauseMs !== undefined) {
    await enqueue(tx, deliver(accountId, id, endpointId, number + 1), pauseMs);
  }
  return true;
}
