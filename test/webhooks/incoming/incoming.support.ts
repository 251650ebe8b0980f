import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import Stripe from 'stripe';
import { ledger, type LedgerEntry } from '../../support/books.js';
import { metric } from '../../support/metrics.js';
import { charge, getCharge, send, type Reply } from '../../support/raw-client.js';
import { startService, type Service } from '../../support/service.js';

/** The secret that only the two sides know. */
export const SECRET = 'whsec_of-these-tests';

/** A service that accepts notifications signed with that secret. */
export function startListening(env: Record<string, string> = {}): Promise<Service> {
  return startService({ env: { PROCESSOR_WEBHOOK_SECRET: SECRET, ...env } });
}

export interface StripeEvent {
  id: string;
  type: string;
  object: 'event';
  data: { object: Record<string, unknown> };
}

/** An event, as the processor sends it. */
export function event(type: string, object: object, id = newEventId()): StripeEvent {
  return { id, type, object: 'event', data: { object: object as Record<string, unknown> } };
}

export const newEventId = () => `evt_${randomUUID().replaceAll('-', '')}`;

/** A payment of 12.00 for our charge, as the processor shows it. */
export function intent(of: PendingCharge, changes: Record<string, unknown> = {}) {
  return {
    id: `pi_${randomUUID().replaceAll('-', '')}`,
    object: 'payment_intent',
    amount: 1200,
    currency: 'eur',
    status: 'succeeded',
    last_payment_error: null,
    metadata: { charge: of.id, account: of.account },
    ...changes,
  };
}

/** A payment that was declined. */
export function declined(of: PendingCharge, changes: Record<string, unknown> = {}) {
  const last_payment_error = { code: 'card_declined', decline_code: 'lost_card' };
  return intent(of, { status: 'requires_payment_method', last_payment_error, ...changes });
}

export function signature(body: string, secret = SECRET, ageSeconds = 0): string {
  const timestamp = Math.floor(Date.now() / 1000) - ageSeconds;
  return Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp });
}

/** Sends these bytes with this signature; null sends no signature. */
export function deliver(
  apiUrl: string,
  body: string | Buffer,
  header: string | null = signature(body.toString()),
): Promise<Reply> {
  return send(`${apiUrl}/webhooks/processor`, {
    apiKey: null,
    method: 'POST',
    body,
    headers: header === null ? {} : { 'stripe-signature': header },
  });
}

/** Sends an event as the processor would, and expects 2xx. */
export async function notify(apiUrl: string, what: StripeEvent): Promise<void> {
  expect(await deliver(apiUrl, JSON.stringify(what))).toMatchObject({
    status: 200,
    body: { received: true },
  });
}

export interface PendingCharge {
  id: string;
  account: string;
}

/** A charge that stays pending: the processor was not reached, or its answer was lost. */
export async function leavePending(
  service: Service,
  key: string,
  mood: 'refusing' | 'losing' = 'refusing',
  changes: Record<string, unknown> = {},
): Promise<PendingCharge> {
  service.gate.be(mood);
  const reply = await charge(service.apiUrl, key, changes);
  service.gate.be('open');
  expect(reply.status).toBe(mood === 'losing' ? 504 : 503);
  return { id: reply.body.charge, account: await accountOf(service, reply.body.charge) };
}

export async function accountOf({ db }: Service, id: string): Promise<string> {
  const { rows } = await db.query<{ account_id: string }>(
    `SELECT account_id FROM charges WHERE id = $1 UNION SELECT account_id FROM refunds WHERE id = $1`,
    [id],
  );
  return rows[0]!.account_id;
}

/** The payment of a charge in the processor's ledger. */
export async function paymentOf(
  service: Service,
  { id }: Pick<PendingCharge, 'id'>,
): Promise<LedgerEntry> {
  const found = (await ledger(service.sandboxUrl)).find(({ metadata }) => metadata.charge === id);
  if (!found) throw new Error(`${id} is not in the ledger`);
  return found;
}

/** A payment whose answer was lost, and its notification. */
export async function lostPayment(
  service: Service,
  key: string,
): Promise<{ pending: PendingCharge; news: StripeEvent }> {
  const pending = await leavePending(service, key, 'losing');
  return { pending, news: event('payment_intent.succeeded', await paymentOf(service, pending)) };
}

export const statusOf = async ({ apiUrl }: Pick<Service, 'apiUrl'>, id: string) =>
  (await getCharge(apiUrl, id)).body.status;

/** The states of the events with this id. There should be one. */
export async function statesOf({ db }: Service, eventId: string): Promise<string[]> {
  const { rows } = await db.query<{ state: string }>(
    'SELECT state FROM processor_events WHERE id = $1',
    [eventId],
  );
  return rows.map(({ state }) => state);
}

/** The types of our events about an object, which merchants get. */
export async function eventTypesOf({ db }: Service, cause: string): Promise<string[]> {
  const { rows } = await db.query<{ type: string }>(
    'SELECT type FROM events WHERE cause = $1 ORDER BY type',
    [cause],
  );
  return rows.map(({ type }) => type);
}

export async function parked({ db }: Service, chargeId: string) {
  const { rows } = await db.query<{ reference: string; reason: string; amount: string }>(
    `SELECT processor_reference AS reference, reason, amount FROM parked_payments
     WHERE charge_id = $1 ORDER BY parked_at`,
    [chargeId],
  );
  return rows;
}

export const parkedInMetrics = ({ apiUrl }: Service) => metric(apiUrl, 'parked_payments');

/** Sends it twice and with a second event id, and expects that it is parked once. */
export async function expectParked(
  service: Service,
  news: StripeEvent,
  chargeId: string,
  reason: string,
): Promise<void> {
  const [before, list] = [await parkedInMetrics(service), await parked(service, chargeId)];
  const again = { ...news, id: `${news.id}x` };
  for (const each of [news, news, again]) await notify(service.apiUrl, each);
  for (const { id } of [news, again]) expect(await statesOf(service, id)).toEqual(['parked']);
  const { id: reference, amount } = news.data.object;
  const added = { reference, reason, amount: String(amount) };
  expect(await parked(service, chargeId)).toEqual([...list, added]);
  expect(await parkedInMetrics(service)).toBe(before + 1);
}
