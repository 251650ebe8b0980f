import Stripe from 'stripe';
import {
  answerOfError,
  answerOfIntent,
  answerOfRefund,
  NOTHING_BEGUN,
  requiresAuthentication,
  unknownYet,
} from './stripe-answers.js';
import { fenceKey } from './stripe-fence.js';
import { paidRefundOf, paymentOf, secondsOf } from './stripe-ledger.js';
import { lookInLedger } from './stripe-look.js';
import { readSigned } from './stripe-notification.js';
import { endUnauthenticated, intentOfAuthenticationError } from './unauthenticated.js';
import {
  deadlineHttpClient,
  withDeadline,
  isDeadlineExceeded,
  type Call,
} from './deadline-http-client.js';
import { elapsedMs } from '../database/clock.js';
import {
  Processor,
  type FenceAnswer,
  type NextDeadline,
  type NoNotification,
  type Notification,
  type PaidRefund,
  type Payment,
  type PaymentParameters,
  type RefundNews,
  type RefundParameters,
  type ProcessorAnswer,
  type Span,
  unknownAnswer,
} from './processor.js';

export interface StripeOptions {
  /** `sandbox`, `stripe_test` or `stripe_live`: stored on each charge. Only a processor of this name may finish it. */
  name: string;
  secretKey: string;
  /** Absent: Stripe itself. */
  baseUrl?: URL;
  /** The limit for one call including all the SDK's attempts, in ms. */
  timeoutMs: number;
  /** Signs the processor's notifications. Absent: all are refused. */
  webhookSecret?: string;
}

/** Retries by the SDK; they share the call's deadline. More would overload a failing processor. */
const SDK_RETRIES = 2;
/** The largest difference between the processor's clock and the database's when the ledger is searched, in seconds. */
const CLOCK_SKEW_SECONDS = 300;

/** Options for pages of the ledger: no SDK retries, because the caller retries. */
const ONE_ATTEMPT: Stripe.RequestOptions = { maxNetworkRetries: 0 };

/** Stripe through its official SDK: test mode, live mode or the local sandbox. */
export class StripeProcessor extends Processor {
  readonly name: string;
  private readonly stripe: Stripe;
  private readonly timeoutMs: number;
  private readonly webhookSecret: string | undefined;

  constructor({ name, secretKey, baseUrl, timeoutMs, webhookSecret }: StripeOptions) {
    super();
    this.name = name;
    this.timeoutMs = timeoutMs;
    this.webhookSecret = webhookSecret;
    const insecure = baseUrl?.protocol === 'http:';
    this.stripe = new Stripe(secretKey, {
      maxNetworkRetries: SDK_RETRIES,
      timeout: timeoutMs,
      telemetry: false,
      httpClient: deadlineHttpClient(insecure),
      ...(baseUrl && {
        host: baseUrl.hostname,
        port: baseUrl.port || (insecure ? 80 : 443),
        protocol: insecure ? 'http' : 'https',
      }),
    });
  }

  deadline(): number {
    return elapsedMs() + this.timeoutMs;
  }

  prepare(parameters: PaymentParameters): string {
    return JSON.stringify({
      ...parameters,
      confirm: true,
      error_on_requires_action: true,
      automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
    } satisfies Stripe.PaymentIntentCreateParams);
  }

  pay(key: string, prepared: string, notAfter = Infinity): Promise<ProcessorAnswer> {
    const { paymentIntents } = this.stripe;
    return this.ask(notAfter, async () => {
      const parameters = JSON.parse(prepared) as Stripe.PaymentIntentCreateParams;
      let intent: Stripe.PaymentIntent = await paymentIntents
        .create(parameters, { idempotencyKey: key })
        .catch(intentOfAuthenticationError);
      try {
        // A key replays its first answer, even one that was not final. If it was not, read the object itself.
        if (intent.status === 'processing') intent = await paymentIntents.retrieve(intent.id);
        if (!requiresAuthentication(intent)) return answerOfIntent(intent);
        return await endUnauthenticated(paymentIntents, intent.id);
      } catch (error) {
        return unknownYet(error);
      }
    });
  }

  prepareRefund(parameters: RefundParameters): string {
    return JSON.stringify(parameters satisfies Stripe.RefundCreateParams);
  }

  refund(key: string, prepared: string, notAfter = Infinity): Promise<ProcessorAnswer> {
    const { refunds } = this.stripe;
    return this.ask(notAfter, async () => {
      const parameters = JSON.parse(prepared) as Stripe.RefundCreateParams;
      const refund = await refunds.create(parameters, { idempotencyKey: key });
      if (refund.status !== 'pending') return answerOfRefund(refund);
      return refunds.retrieve(refund.id).then(answerOfRefund, unknownYet);
    });
  }

  async refundsOf(payment_intent: string, notAfter?: number): Promise<PaidRefund[]> {
    return withDeadline(this.call(notAfter), async () => {
      const found: PaidRefund[] = [];
      try {
        for await (const refund of this.stripe.refunds.list({ payment_intent, limit: 100 }))
          found.push(paidRefundOf(refund));
      } catch (error) {
        // A payment that is not in this ledger has no refunds in it.
        const { StripeInvalidRequestError } = Stripe.errors;
        if (!(error instanceof StripeInvalidRequestError && error.code === 'resource_missing'))
          throw error;
      }
      return found;
    });
  }

  fence(key: string, prepared: string, notAfter?: number): Promise<FenceAnswer> {
    return fenceKey(this.stripe.paymentIntents, key, prepared, this.call(notAfter));
  }

  async look(
    chargeId: string,
    span: Span,
    nextDeadline: NextDeadline = async () => Infinity,
  ): Promise<Payment | undefined> {
    const { gte, lte } = secondsOf(span);
    const created = { gte: gte - CLOCK_SKEW_SECONDS, lte: lte + CLOCK_SKEW_SECONDS };
    return lookInLedger(this.stripe.paymentIntents, chargeId, created, async (run) =>
      withDeadline(this.call(await nextDeadline()), run),
    );
  }

  readNotification(raw: Buffer, signature: string): Notification | RefundNews | NoNotification {
    return readSigned(this.stripe.webhooks, raw, signature, this.webhookSecret);
  }

  async payment(reference: string): Promise<Payment | undefined> {
    return withDeadline(this.call(), async () => {
      try {
        return paymentOf(await this.stripe.paymentIntents.retrieve(reference));
      } catch (error) {
        if (error instanceof Stripe.errors.StripeInvalidRequestError && error.statusCode === 404)
          return undefined;
        throw error;
      }
    });
  }

  async *payments(span?: Span): AsyncIterable<Payment> {
    const filter = span ? { created: secondsOf(span) } : {};
    const list = this.stripe.paymentIntents.list({ ...filter, limit: 100 }, ONE_ATTEMPT);
    for await (const intent of list) yield paymentOf(intent);
  }

  async *refunds(span?: Span): AsyncIterable<PaidRefund> {
    const filter = span ? { created: secondsOf(span) } : {};
    const list = this.stripe.refunds.list({ ...filter, limit: 100 }, ONE_ATTEMPT);
    for await (const refund of list) yield paidRefundOf(refund);
  }

  private call(notAfter = Infinity): Call {
    return { deadline: Math.min(this.deadline(), notAfter), inDoubt: false, stored: false };
  }

  /** Runs one call. Every result, error or doubt becomes an answer. */
  private async ask(
    notAfter: number,
    run: () => Promise<ProcessorAnswer>,
  ): Promise<ProcessorAnswer> {
    const call = this.call(notAfter);
    const answer = await withDeadline(call, run).catch((error: unknown) =>
      isDeadlineExceeded(error) && !call.inDoubt ? NOTHING_BEGUN : answerOfError(error),
    );
    // The last attempt was refused or timed out, but an earlier one may have arrived, or got a stored failure.
    const inDoubt = answer.kind === 'unknown' || (answer.kind === 'refused' && call.inDoubt);
    return inDoubt ? unknownAnswer(answer.reason, call.stored) : answer;
  }
}
