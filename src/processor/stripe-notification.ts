import { isUtf8 } from 'node:buffer';
import type Stripe from 'stripe';
import { isDerivedId } from '../idempotency/identity.js';
import type { NoNotification, Notification, RefundNews } from './processor.js';
import { answerOfIntent, answerOfRefund } from './stripe-answers.js';
import { paidRefundOf } from './stripe-ledger.js';

/** What we follow, and which object each is about (source: Stripe's "Types of events"). */
const FOLLOWED: ReadonlyMap<unknown, 'intent' | 'refund' | 'charge'> = new Map([
  ['payment_intent.succeeded', 'intent'],
  ['payment_intent.payment_failed', 'intent'],
  ['payment_intent.canceled', 'intent'],
  ['refund.created', 'refund'],
  ['refund.updated', 'refund'],
  ['refund.failed', 'refund'],
  // Older endpoints have these two only. Since 2022-11-15 the charge does not include its refunds.
  ['charge.refund.updated', 'refund'],
  ['charge.refunded', 'charge'],
]);

/** An attacker may have recorded an older signature and sent it again. Stripe's own default, in seconds. */
const SIGNATURE_TOLERANCE_SECONDS = 300;

/** Reads a webhook's body once its signature is verified. */
export function readSigned(
  webhooks: Stripe['webhooks'],
  raw: Buffer,
  signature: string,
  secret: string | undefined,
): Notification | RefundNews | NoNotification {
  if (secret === undefined) return 'no secret';
  // The SDK would read bytes that are not UTF-8 as U+FFFD, and skip a byte order mark: other bytes under one signature.
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
 * What an event of Stripe's says about a charge or refund of ours. Ours are known by the shape of our own ids in the
 * metadata, here as in reconciliation: another program may use the same words. A fence's intent has none of these ids,
 * so that its cancel is never taken for the end of its charge. A refund without them may still be of a payment of ours:
 * a person made it in the dashboard.
 * @returns `irrelevant` for somebody else's object, and for news that end nothing: there is nothing to keep of them.
 */
export function notificationOf(
  event: unknown,
): Notification | RefundNews | 'irrelevant' | 'not an event' {
  if (!isObject(event) || typeof event.type !== 'string') return 'not an event';
  const { id, type } = event;
  const about = FOLLOWED.get(type);
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
  const told = { id, type, account, charge, reference, amount, currency, answer };
  return about === 'refund' ? { ...told, refund: refund as string } : told;
}

/** A charge of the processor's, some of which has gone back; its metadata are a copy of its payment's, or nobody's. */
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

/** The codes that say why something failed become text of ours. */
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

/** An id or a code: what PostgreSQL can keep and a log can show. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && /^\w{1,255}$/.test(value);
}

function isAmount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
