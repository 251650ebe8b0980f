/**
 * For the naive lane: the merchant's pairs and ours. No `charge`, because the payment belongs to none of our charges.
 */
export type NaiveMetadata = Record<string, string> & {
  naive_charge: string;
  account: string;
  charge?: never;
};

export interface PaymentParameters {
  amount: number;
  currency: string;
  payment_method: string;
  description?: string;
  /** `charge` is our id, by which we find the payment again. */
  metadata: { charge: string; account: string; order?: string } | NaiveMetadata;
}

/**
 * What the processor's answer means; stripe-answers.ts decides it. Of these kinds only the first three end a charge.
 * `unknown` is an outcome, never an exception.
 */
export type ProcessorAnswer =
  | { kind: 'succeeded'; reference: string }
  | { kind: 'declined'; code: string; declineCode: string; reference: string | null }
  /** Definite, but not the card's fault: an invalid request, or canceled by a person. */
  | { kind: 'rejected'; failureCode: string; reference: string | null }
  /** Nothing happened: not reached, too many requests, or bad credentials (`alarm`: a person must act). */
  | { kind: 'refused'; reason: string; alarm: boolean }
  /** Anything else. `stored`: the processor replays this while it keeps the key, so look the payment up. */
  | { kind: 'unknown'; reason: string; stored: boolean };

export function unknownAnswer(reason: string, stored = false) {
  return { kind: 'unknown', reason, stored } as const satisfies ProcessorAnswer;
}

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
  /** The processor's id of the payment that it refunds. */
  payment: string | undefined;
  /** Our ids, if it is one of ours. */
  refund: string | undefined;
  charge: string | undefined;
  account: string | undefined;
  createdAt: Date;
  answer: ProcessorAnswer;
}

/** A period of creation times, both ends included, in whole seconds of the processor's clock. */
export interface Span {
  from: Date;
  to: Date;
}

/**
 * Called before each call of a lookup that may need many calls. Returns that call's deadline by `elapsedMs()`, in ms.
 * An error that it throws ends the lookup.
 */
export type NextDeadline = () => Promise<number>;

/**
 * The result of a fence. `fenced`: the key was unused, and now belongs to a canceled intent, so a late original
 * request takes nothing. `used`: the original request arrived first.
 */
export type FenceAnswer = { kind: 'fenced' | 'used' } | { kind: 'unknown'; reason: string };

export interface RefundParameters {
  /** The processor's reference of the payment. */
  payment_intent: string;
  amount: number;
  metadata: { refund: string; charge: string; account: string };
}

/** A notification from the processor about one of our charges or refunds. */
export interface Notification {
  /** The processor's id of the event; each is applied once. */
  id: string;
  type: string;
  account: string;
  charge: string;
  /** Set for a refund. */
  refund?: string;
  /** The processor's own id of the payment or refund. */
  reference: string;
  amount: number;
  currency: string;
  answer: ProcessorAnswer;
  /** Set for a refund that was made elsewhere: its creation time as ISO 8601. */
  madeElsewhereAt?: string;
}

/**
 * A notification about refunds that contains none of our ids: they were made in the processor's dashboard. Only the
 * payment is known.
 */
export interface RefundNews {
  id: string;
  type: string;
  /** The processor's reference of the payment. */
  payment: string;
  /** The refunded total of the payment so far, or the one refund that changed. */
  about: { refunded: number } | PaidRefund;
}

/** Why there is nothing to apply. With the first two, the sender is not authenticated. */
export type NoNotification = 'no secret' | 'forged' | 'not JSON' | 'not an event' | 'irrelevant';

/** The processor, as a DI token. One adapter exists: the official SDK, for Stripe or the sandbox. */
export abstract class Processor {
  /** Stored with each charge. Only the processor with this name may finish it. */
  abstract readonly name: string;
  /**
   * The exact request as text, stored at reserve. Every repeat sends this text, even after a deploy, because the
   * processor refuses a key whose parameters have changed.
   */
  abstract prepare(parameters: PaymentParameters): string;
  /**
   * The deadline of a call that starts now, by `elapsedMs()`, in ms. Pass it to several calls as `notAfter`, and they
   * share the time of one.
   */
  abstract deadline(): number;
  /**
   * Takes money, at most once per key, however often it is called.
   * @param notAfter by `elapsedMs()`, in ms: no attempt begins and no answer is awaited after it. It can only shorten
   *   the call.
   */
  abstract pay(key: string, prepared: string, notAfter?: number): Promise<ProcessorAnswer>;
  /** Uses up the key without taking money, so that no late attempt under it can. */
  abstract fence(key: string, prepared: string, notAfter?: number): Promise<FenceAnswer>;
  /**
   * Reads the ledger for a charge's payment (not the search API, which lags). Cancels a payment that waits for 3-D
   * Secure. The time grows with the number of payments in `span`; each page has its own deadline.
   * @throws what the SDK or `nextDeadline` throws, if the ledger could not be read to the end of the period.
   */
  abstract look(
    chargeId: string,
    span: Span,
    nextDeadline?: NextDeadline,
  ): Promise<Payment | undefined>;
  /** Like `prepare`, for a refund. */
  abstract prepareRefund(parameters: RefundParameters): string;
  /** Refunds money, at most once per key while the processor remembers the key. `notAfter` as for `pay`. */
  abstract refund(key: string, prepared: string, notAfter?: number): Promise<ProcessorAnswer>;
  /** Every refund of one payment, with or without our ids, by the processor's reference. @throws like `look`. */
  abstract refundsOf(reference: string, notAfter?: number): Promise<PaidRefund[]>;
  /**
   * Authenticates a notification by its raw bytes, and reads it.
   * @param signature the `Stripe-Signature` header; at most five minutes old.
   */
  abstract readNotification(
    raw: Buffer,
    signature: string,
  ): Notification | RefundNews | NoNotification;
  /** One payment by the processor's reference; undefined if there is none. @throws like `look`. */
  abstract payment(reference: string): Promise<Payment | undefined>;
  /** Every payment, or those of a period, newest first. @throws like `look`. */
  abstract payments(span?: Span): AsyncIterable<Payment>;
  /** Every refund, or those of a period, newest first. @throws like `look`. */
  abstract refunds(span?: Span): AsyncIterable<PaidRefund>;
}
