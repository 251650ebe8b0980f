/** Of the naive lane: the merchant's own pairs and ours. Not `charge`: the payment is none of our charges. */
export type NaiveMetadata = Record<string, string> & {
  naive_charge: string;
  account: string;
  charge?: never;
};

/** What the processor is to be told of a charge. */
export interface PaymentParameters {
  amount: number;
  currency: string;
  payment_method: string;
  description?: string;
  /** `charge` is our id: by it the payment is found again, whatever was lost. */
  metadata: { charge: string; account: string; order?: string } | NaiveMetadata;
}

/**
 * What the processor's answer means: the one place where an answer becomes a fact. Only the first three end a
 * charge. `unknown` is an outcome, never an exception.
 */
export type ProcessorAnswer =
  | { kind: 'succeeded'; reference: string }
  | { kind: 'declined'; code: string; declineCode: string; reference: string | null }
  /** Definite, not the card's fault: an invalid request, canceled by a person. */
  | { kind: 'rejected'; failureCode: string; reference: string | null }
  /** Nothing happened there: not reached, too many requests, bad credentials (these need a person: `alarm`). */
  | { kind: 'refused'; reason: string; alarm: boolean }
  /** All else. `stored`: the processor will replay this for ever, asking again under the key is useless: look. */
  | { kind: 'unknown'; reason: string; stored: boolean };

/** A payment in the processor's ledger, the ground truth of what a customer paid. */
export interface Payment {
  reference: string;
  amount: number;
  currency: string;
  /** Our id of the charge, if it is one of ours. */
  charge: string | undefined;
  account: string | undefined;
  order: string | undefined;
  paymentMethod: string | undefined;
  description: string | null;
  createdAt: Date;
  answer: ProcessorAnswer;
}

/** A refund in the processor's ledger. */
export interface PaidRefund {
  reference: string;
  amount: number;
  currency: string;
  /** The processor's reference of the payment that it gives back. */
  payment: string | undefined;
  /** Our ids, if it is one of ours. */
  refund: string | undefined;
  charge: string | undefined;
  account: string | undefined;
  createdAt: Date;
  answer: ProcessorAnswer;
}

/** When something was made, both ends included, by the processor's clock in whole seconds. */
export interface Span {
  from: Date;
  to: Date;
}

/**
 * Asked before each call of a reading that may take many: by `elapsedMs()`, in ms, when that call must have ended. What
 * it throws ends the reading.
 */
export type NextDeadline = () => Promise<number>;

/**
 * What a fence found. `fenced`: the key was unused, and now belongs to an intent that was canceled: whoever wakes up
 * and sends the original takes nothing. `used`: the original arrived there before.
 */
export type FenceAnswer = { kind: 'fenced' | 'used' } | { kind: 'unknown'; reason: string };

/** What the processor is to be told of a refund. */
export interface RefundParameters {
  /** The processor's reference of the payment. */
  payment_intent: string;
  amount: number;
  metadata: { refund: string; charge: string; account: string };
}

/** What the processor tells us by itself about one of our charges or refunds. */
export interface Notification {
  /** The processor's own id of the event: applied once. */
  id: string;
  type: string;
  account: string;
  charge: string;
  /** Set if it is about a refund. */
  refund?: string;
  /** The processor's own id of the payment or refund. */
  reference: string;
  amount: number;
  currency: string;
  answer: ProcessorAnswer;
  /** Set if it is about a refund that names none of ours: when it was made, as ISO 8601. */
  madeElsewhereAt?: string;
}

/**
 * What the processor tells us by itself about the refunds of a payment, without a word about whose that is: an object
 * made at its own desk carries no ids of ours.
 */
export interface RefundNews {
  /** The processor's own id of the event. */
  id: string;
  type: string;
  /** The processor's reference of the payment. */
  payment: string;
  /** How much of the payment has gone back by now, or the one refund that moved. */
  about: { refunded: number } | PaidRefund;
}

/** Why there is nothing to apply. The first two say that nobody knows who sent it. */
export type NoNotification = 'no secret' | 'forged' | 'not JSON' | 'not an event' | 'irrelevant';

/** DI token class: one adapter exists, the official SDK, against Stripe or the sandbox. */
export abstract class Processor {
  /** Stored with each charge; only the processor of that name finishes it. */
  abstract readonly name: string;
  /**
   * The exact request, as text, to be stored at reserve: every repeat sends this, also after a deploy. A parameter
   * that changed between two attempts would make the processor refuse its own key.
   */
  abstract prepare(parameters: PaymentParameters): string;
  /**
   * By `elapsedMs()`, in ms: the end of a call that begins now. Give it to each of several calls as `notAfter`, and
   * together they take no longer than one.
   */
  abstract deadline(): number;
  /**
   * Takes money, at most once per key, however often it is called.
   * @param notAfter by `elapsedMs()`, in ms: no attempt begins later, and no answer is awaited longer. It can only
   *   shorten the call.
   */
  abstract pay(key: string, prepared: string, notAfter?: number): Promise<ProcessorAnswer>;
  /** Uses the key up without taking anything, so that no attempt under it, however late, can. */
  abstract fence(key: string, prepared: string, notAfter?: number): Promise<FenceAnswer>;
  /**
   * Looks a charge's payment up in the ledger (never by search, which lags). Cancels one that waits for 3-D Secure. It
   * takes as long as the ledger of that span is; each page has a deadline of its own.
   * @throws what the SDK or `nextDeadline` throws, if the ledger could not be read to the end of that span.
   */
  abstract look(
    chargeId: string,
    span: Span,
    nextDeadline?: NextDeadline,
  ): Promise<Payment | undefined>;
  /** As `prepare`, for a refund. */
  abstract prepareRefund(parameters: RefundParameters): string;
  /** Gives money back, at most once per key while the processor remembers it. `notAfter` as for `pay`. */
  abstract refund(key: string, prepared: string, notAfter?: number): Promise<ProcessorAnswer>;
  /** Every refund of one payment, whoever asked for it, by the processor's reference. @throws as `look`. */
  abstract refundsOf(reference: string, notAfter?: number): Promise<PaidRefund[]>;
  /**
   * Checks who sent a notification, on its raw bytes, and reads it.
   * @param signature the `Stripe-Signature` header; five minutes old at most.
   */
  abstract readNotification(
    raw: Buffer,
    signature: string,
  ): Notification | RefundNews | NoNotification;
  /** One payment by the processor's reference; undefined if there is none. @throws as `look`. */
  abstract payment(reference: string): Promise<Payment | undefined>;
  /** Every payment, or those of a span, newest first. @throws as `look`. */
  abstract payments(span?: Span): AsyncIterable<Payment>;
  /** Every refund, or those of a span, newest first. @throws as `look`. */
  abstract refunds(span?: Span): AsyncIterable<PaidRefund>;
}
