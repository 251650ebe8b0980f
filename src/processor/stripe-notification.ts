import { isUtf8 } from 'node:buffer';
import type Stripe from 'stripe';
import { isDerivedId } from '../idempotency/identity.js';
import type { NoNotification, Notification, RefundNews } from './processor.js';
import { answerOfIntent, answerOfRefund } from './stripe-answers.js';
import { paidRefundOf } from './stripe-ledger.js';

/** The event types that we use, and the object of each (source: Stripe's "Types of events"). */
const USED_TYPES: ReadonlyMap<unknown, 'intent' | 'refund' | 'charge'> = new Map([
  ['payment_intent.succeeded', 'intent'],
  ['payment_intent.payment_failed', 'intent'],
  ['payment_intent.canceled', 'intent'],
  ['refund.created', 'refund'],
  ['refund.updated', 'refund'],
  ['refund.failed', 'refund'],
  // Older endpoints send only these two. Since 2022-11-15 the charge does not include its refunds.
  ['charge.refund.updated', 'refund'],
  ['charge.refunded', 'charge'],
]);

/** Limits how long a stolen signed notification can be replayed. Stripe's default, in seconds. */
const SIGNATURE_TOLERANCE_SECONDS = 300;

/** Reads a webhook's body once its signature is verified. */
export function readSigned(
  webhooks: Stripe['webhooks'],
  raw: Buffer,
  signature: string,
  secret: string | undefined,
): Notification | RefundNews | NoNotification {
  if (secret === undefined) return 'no secret';
  // The SDK would read invalid UTF-8 as U+FFFD and skip a byte order mark: other bytes under the same signature.
  if (!isUtf8(raw)) return 'not JSON';
  const text = raw.toString('utf8');
  try {
    const { signature: check } = webhooks;
    if (!check?.verifyHeader(text, signature, secret, SIGNATURE_TOLERANCE_SECONDS)) return 'forged';
  } catch {
    return 'forged';
  }
  try {
    return notificationOf(JSON.parse(text));
  } catch {
    return 'not JSON';
  }
}

/**
 * What a Stripe event says about one of our charges or refunds. Ours are recognised by the shape of our ids in the
 * metadata, as in reconciliation, because another program may use the same metadata names. A fence's intent has none
 * of these ids, so its cancel never ends the charge. A refund without them may still belong to one of our payments: a
 * person made it in the dashboard.
 * @returns `irrelevant` for an object of another program, and for an event that ends nothing: neither is stored.
 */
export function notificationOf(
  event: unknown,
): Notification | RefundNews | 'irrelevant' | 'not an event' {
  if (!isObject(event) || typeof event.type !== 'string') return 'not an event';
  const { id, type } = event;
  const about = USED_TYPES.get(type);
  if (about === undefined) return 'irrelevant';
  const object = isObject(event.data) ? event.data.object : undefined;
  if (!isName(id) || !isObject(object)) return 'not an event';
  if (about === 'charge') return refundedNews(object, id, type);
  const { charge, account, refund } = isObject(object.metadata) ? object.metadata : {};
  const isOurs = isDerivedId('ch', charge) && isName(account);
  if (about === 'refund' && !(isOurs && isDerivedId('re', refund)))
    return foreignRefundNews(object, id, type);
  if (!isOurs) return 'irrelevant';
  const { id: reference, amount, currency } = object;
  if (!isName(reference) || !isAmount(amount) || !isName(currency) || !hasReadableEnd(object)) {
    return 'not an event';
  }
  const answer =
    about === 'refund'
      ? answerOfRefund(object as unknown as Stripe.Refund)
      : answerOfIntent(object as unknown as Stripe.PaymentIntent);
  if (answer.kind === 'unknown') return 'irrelevant';
  const notification = { id, type, account, charge, reference, amount, currency, answer };
  return about === 'refund' ? { ...notification, refund: refund as string } : notification;
}

/** A partly or fully refunded charge. Its metadata is a copy of the payment's, so it identifies no refund. */
function refundedNews(object: Json, id: string, type: string): RefundNews | 'irrelevant' {
  const { payment_intent: payment, amount_refunded: refunded } = object;
  if (!isName(payment) || !isAmount(refunded)) return 'irrelevant';
  return { id, type, payment, about: { refunded } };
}

function foreignRefundNews(
  object: Json,
  id: string,
  type: string,
): RefundNews | 'irrelevant' | 'not an event' {
  const { id: reference, payment_intent: payment, amount, currency, created } = object;
  if (!isName(payment)) return 'irrelevant';
  if (!isName(reference) || !isAmount(amount) || !isName(currency) || !hasReadableEnd(object))
    return 'not an event';
  const about = paidRefundOf(object as unknown as Stripe.Refund);
  if (about.answer.kind === 'unknown') return 'irrelevant';
  const createdAt = isAmount(created) ? about.createdAt : new Date();
  return { id, type, payment, about: { ...about, createdAt } };
}

/** Whether the status and failure codes are valid names, because they become part of our messages. */
function hasReadableEnd({ status, last_payment_error, failure_reason }: Json): boolean {
  const { code, decline_code } = isObject(last_payment_error) ? last_payment_error : {};
  return (
    isName(status) && [code, decline_code, failure_reason].every((it) => it == null || isName(it))
  );
}

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An id or a code that PostgreSQL can store and a log may show. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && /^\w{1,255}$/.test(value);
}

function isAmount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
