import { Inject, Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { eventToWire, type Event } from '../../events/event.entity.js';
import { EventResendOperation } from '../../events/event-resend.operation.js';
import { EventSubscribers, findEvent, type Consequence } from '../../events/events.js';
import { deriveId } from '../../idempotency/identity.js';
import { enqueue, JobRegistry, type JobOptions } from '../../jobs/jobs.js';
import type { Tx } from '../../platform/database.js';
import type { AddressPolicy } from './address-policy.js';
import { pauseAfter, type Delivery } from './delivery.entity.js';
import type { Endpoint } from './endpoint.entity.js';
import { ENDPOINT_COLUMNS, findEndpoint, findSecrets } from './endpoint.queries.js';
import { send, type Sent } from './sender.js';

export const ADDRESS_POLICY = Symbol('ADDRESS_POLICY');

const DELIVER = 'deliver-webhook';
/** Longer than an attempt takes, in ms; a sender that is silent for longer is taken for dead. */
const LEASE_MS = 20_000;
/** How many messages one endpoint gets at once: a slow one holds up no more workers than this. */
const LANES = 4;

/**
 * Tells merchants, at least once per endpoint, always under the same `webhook-id`: exactly once is the receiver's
 * part (docs/webhook-receiver.md), as it is for everybody who answers a network.
 * Proof: test/webhooks/deliveries.spec.ts.
 */
@Injectable()
export class Deliveries {
  constructor(
    private readonly dataSource: DataSource,
    @Inject(ADDRESS_POLICY) private readonly policy: AddressPolicy,
    events: EventSubscribers,
    resends: EventResendOperation,
    jobs: JobRegistry,
  ) {
    events.subscribe((tx, event) => plan(tx, event, 'event'));
    resends.onResend(async (tx, event, resendId) => {
      for (const { job, payload, options } of await plan(tx, event, resendId)) {
        await enqueue(tx, job, payload, options);
      }
    });
    jobs.register(DELIVER, ({ account, delivery }) =>
      this.deliver(String(account), String(delivery)),
    );
  }

  private async deliver(accountId: string, id: string): Promise<void> {
    const db = this.dataSource.manager;
    const delivery = await claim(db, accountId, id);
    if (!delivery) return;
    const endpoint = await findEndpoint(db, accountId, delivery.endpoint_id);
    const event = await findEvent(db, accountId, delivery.event_id);
    if (!event) throw new Error(`${id} has no event`);
    const sent: Sent =
      endpoint && endpoint.disabled_at === null
        ? await send(
            {
              url: endpoint.url,
              id: event.id,
              body: JSON.stringify(eventToWire(event)),
              secrets: await findSecrets(db, accountId, endpoint.id),
            },
            this.policy,
          )
        : { status: 410, error: 'the endpoint is gone' };
    // Dies here: delivered, not recorded. The lease runs out and the receiver sees the same webhook-id again.
    await this.dataSource.transaction((tx) => record(tx, delivery, sent));
  }
}

/** One delivery for each endpoint that wants the event; those that exist already are left alone. */
async function plan(tx: Tx, event: Event, cause: string): Promise<Consequence[]> {
  const endpoints: Endpoint[] = await tx.query(
    `SELECT ${ENDPOINT_COLUMNS} FROM webhook_endpoints
     WHERE account_id = $1 AND deleted_at IS NULL AND disabled_at IS NULL`,
    [event.account_id],
  );
  const consequences: Consequence[] = [];
  for (const { id: endpointId, events } of endpoints) {
    if (!events.includes(event.type) && !events.includes('*')) continue;
    const id = deriveId('del', event.account_id, `${endpointId} ${cause}`, event.id);
    const inserted: unknown[] = await tx.query(
      `INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status)
       VALUES ($1, $2, $3, $4, 'pending') ON CONFLICT (account_id, id) DO NOTHING RETURNING id`,
      [event.account_id, id, endpointId, event.id],
    );
    if (inserted.length === 0) continue;
    consequences.push({
      job: DELIVER,
      payload: { account: event.account_id, delivery: id },
      options: laneOf(endpointId, id),
    });
  }
  return consequences;
}

function laneOf(endpointId: string, deliveryId: string): JobOptions {
  return { queue: `${endpointId}:${deliveryId.charCodeAt(deliveryId.length - 1) % LANES}` };
}

/**
 * The right to make the next attempt, by compare-and-set on its number.
 * @returns undefined if the delivery has ended.
 * @throws Error while somebody else is at it; the queue comes back.
 */
async function claim(db: Tx, accountId: string, id: string): Promise<Delivery | undefined> {
  const [rows]: [Delivery[], number] = await db.query(
    `UPDATE webhook_deliveries
     SET attempts = attempts + 1, next_attempt_at = NULL, lease_expires_at = now() + $3 * interval '1 millisecond'
     WHERE account_id = $1 AND id = $2 AND status = 'pending'
       AND (lease_expires_at IS NULL OR lease_expires_at <= now())
     RETURNING *`,
    [accountId, id, LEASE_MS],
  );
  const claimed = rows[0];
  if (!claimed) {
    const pending: unknown[] = await db.query(
      `SELECT 1 FROM webhook_deliveries WHERE account_id = $1 AND id = $2 AND status = 'pending'`,
      [accountId, id],
    );
    if (pending.length > 0) throw new Error(`${id} is being delivered by somebody else`);
    return undefined;
  }
  await db.query(
    `INSERT INTO webhook_attempts (account_id, delivery_id, number) VALUES ($1, $2, $3)`,
    [accountId, id, claimed.attempts],
  );
  return claimed;
}

/** Writes what came of the attempt and, if it is to be tried again, the job for it: both or neither. */
async function record(tx: Tx, delivery: Delivery, sent: Sent): Promise<void> {
  const { account_id, id, attempts, endpoint_id } = delivery;
  await tx.query(
    `UPDATE webhook_attempts SET response_status = $4, error = $5
     WHERE account_id = $1 AND delivery_id = $2 AND number = $3`,
    [account_id, id, attempts, sent.status ?? null, sent.error ?? null],
  );
  const ok = sent.status !== undefined && sent.status >= 200 && sent.status <= 299;
  const gone = sent.status === 410;
  const pauseMs = ok || gone ? undefined : pauseAfter(attempts, sent.retryAfterMs);
  const status = ok ? 'succeeded' : pauseMs === undefined ? 'failed' : 'pending';
  const [, recorded]: [unknown[], number] = await tx.query(
    `UPDATE webhook_deliveries
     SET status = $4, lease_expires_at = NULL, next_attempt_at = now() + $5::float8 * interval '1 millisecond'
     WHERE account_id = $1 AND id = $2 AND attempts = $3 AND status = 'pending'`,
    [account_id, id, attempts, status, pauseMs ?? null],
  );
  if (recorded === 0) return; // slept past the lease: another attempt has taken over, and tells
  if (gone) {
    await tx.query(
      `UPDATE webhook_endpoints SET disabled_at = now() WHERE account_id = $1 AND id = $2 AND disabled_at IS NULL`,
      [account_id, endpoint_id],
    );
  }
  if (pauseMs !== undefined) {
    await enqueue(
      tx,
      DELIVER,
      { account: account_id, delivery: id },
      { ...laneOf(endpoint_id, id), delayMs: pauseMs },
    );
  }
}
