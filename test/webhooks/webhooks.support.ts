import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { IS_UNDER_WAY } from '../effects/effects.support.js';
import { charge, send, type Reply } from '../support/raw-client.js';
import type { Receiver } from '../support/receiver.js';
import type { Service } from '../support/service.js';
import { until } from '../support/until.js';

export interface TestEndpoint {
  id: string;
  secret: string;
  /** Its path at the receiver. */
  path: string;
}

/**
 * An endpoint with its own path at the receiver, for the first demo account. Its row is a minute old, because the audit
 * expects deliveries only for endpoints older than that.
 */
export async function newEndpoint(
  { apiUrl, db }: Service,
  receiver: Receiver,
  events: string[] = ['charge.succeeded'],
): Promise<TestEndpoint> {
  const path = `/${randomUUID()}`;
  const made = await postEndpoint(apiUrl, { url: receiver.url + path, events });
  if (made.status !== 201) throw new Error(`no endpoint: ${made.text}`);
  await db.query(
    `UPDATE webhook_endpoints SET created_at = created_at - interval '1 minute' WHERE id = $1`,
    [made.body.id],
  );
  return { id: made.body.id, secret: String(made.body.secret), path };
}

export function postEndpoint(apiUrl: string, body: unknown, key = randomUUID()): Promise<Reply> {
  return send(`${apiUrl}/webhook-endpoints`, { key, body });
}

/** Removes all other endpoints, so that only new ones get events. */
export async function forgetEndpoints(db: pg.Pool): Promise<void> {
  await db.query('UPDATE webhook_endpoints SET deleted_at = now() WHERE deleted_at IS NULL');
}

/** Makes a succeeded charge. @returns the id of its event. */
export async function happen({ apiUrl, db }: Service): Promise<string> {
  const made = await charge(apiUrl, randomUUID());
  if (made.status !== 201) throw new Error(`not charged: ${made.text}`);
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM events WHERE type = 'charge.succeeded' AND cause = $1`,
    [made.body.id],
  );
  return rows[0]!.id;
}

/**
 * Headers of an answer after which no attempt follows until `skipPauses`. Without them the next one comes in 4 s, which
 * may be before the test has looked.
 */
export const LATER = { 'retry-after': '3600' };

export interface DeliveryRow {
  id: string;
  event_id: string;
  status: string;
  attempts: number;
  /** Seconds until the next attempt. Null at the end, and during an attempt. */
  pause: number | null;
}

export async function deliveriesOf(db: pg.Pool, { id }: TestEndpoint): Promise<DeliveryRow[]> {
  const { rows } = await db.query<DeliveryRow>(
    `SELECT id, event_id, status, attempts, CASE WHEN NOT (${IS_UNDER_WAY})
         THEN EXTRACT(EPOCH FROM next_attempt_at - clock_timestamp())::float8 END AS pause
     FROM webhook_deliveries AS delivery WHERE endpoint_id = $1 ORDER BY created_at, id`,
    [id],
  );
  return rows;
}

/** The delivery of the first event. */
export async function deliveryOf(db: pg.Pool, endpoint: TestEndpoint): Promise<DeliveryRow> {
  const [found] = await deliveriesOf(db, endpoint);
  return found!;
}

/** A delivery that has reached the receiver; its worker waits for the answer. */
export async function underWay(service: Service, receiver: Receiver) {
  const endpoint = await newEndpoint(service, receiver);
  const answer = receiver.hold(endpoint.path);
  const event = await happen(service);
  await receiver.received(endpoint.path);
  return { endpoint, event, answer };
}

export interface AttemptRow {
  number: number;
  response_status: number | null;
  error: string | null;
}

/** The outcome of an endpoint's first attempt, once recorded. The second may follow before the test looks. */
export async function firstAttempt(db: pg.Pool, endpoint: TestEndpoint): Promise<AttemptRow> {
  let first: AttemptRow | undefined;
  await until(async () => {
    [first] = await attemptsOf(db, (await deliveryOf(db, endpoint)).id);
    return first?.error != null || first?.response_status != null;
  });
  return first!;
}

/** The outcome of each attempt. */
export async function attemptsOf(db: pg.Pool, deliveryId: string): Promise<AttemptRow[]> {
  const { rows } = await db.query<AttemptRow>(
    `SELECT number, response_status, error FROM webhook_attempts WHERE delivery_id = $1 ORDER BY number`,
    [deliveryId],
  );
  return rows;
}
