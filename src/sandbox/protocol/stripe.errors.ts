import type Stripe from 'stripe';

/** The object under `error` in Stripe's error bodies. */
export interface ErrorBody {
  type: 'invalid_request_error' | 'idempotency_error' | 'card_error' | 'api_error';
  code?: string;
  message: string;
  param?: string;
  decline_code?: string;
  charge?: string;
  payment_intent?: Stripe.PaymentIntent;
  payment_method?: Stripe.PaymentMethod;
  doc_url?: string;
}

/**
 * A refusal without effect. Thrown in a transaction, it rolls the transaction back, and it is not stored under an
 * idempotency key. An outcome, for example a decline, is returned instead.
 */
export class StripeError extends Error {
  constructor(
    readonly status: number,
    readonly error: ErrorBody,
    readonly headers: Record<string, string> = {},
  ) {
    super(error.message);
  }
}

/** The response body. It has `doc_url` if there is a code, as at Stripe. */
export function errorBody(error: ErrorBody): { error: ErrorBody } {
  if (!error.code) return { error };
  const page = error.code.replaceAll('_', '-');
  return { error: { ...error, doc_url: `https://stripe.com/docs/error-codes/${page}` } };
}

export function invalidRequest(message: string, param?: string, code?: string): StripeError {
  return new StripeError(400, { type: 'invalid_request_error', code, message, param });
}

export function missingParameter(param: string): StripeError {
  return invalidRequest(`Missing required param: ${param}.`, param, 'parameter_missing');
}

/**
 * @param status 404 if the path names the object, 400 if a parameter does
 * @param noun as Stripe writes it: `payment_intent`, but `PaymentMethod`
 */
export function noSuch(status: 400 | 404, noun: string, id: string, param: string): StripeError {
  return new StripeError(status, {
    type: 'invalid_request_error',
    code: 'resource_missing',
    message: `No such ${noun}: '${id}'`,
    param,
  });
}

/** For a part that Stripe has but the sandbox lacks. @param what a request, a parameter, a header. */
export function missingPart(status: 400 | 404, what: string, param?: string): StripeError {
  return new StripeError(status, {
    type: 'invalid_request_error',
    message: `Stripe has ${what}, but it is not part of this sandbox, which has payment intents, refunds and events.`,
    param,
  });
}

export function unrecognizedUrl(method: string, path: string): StripeError {
  return new StripeError(404, {
    type: 'invalid_request_error',
    message: `Unrecognized request URL (${method}: ${path}). This sandbox speaks a part of the API only: payment intents, refunds and events.`,
  });
}

export function unauthorized(message: string): StripeError {
  return new StripeError(
    401,
    { type: 'invalid_request_error', message },
    { 'WWW-Authenticate': 'Basic realm="Stripe"' },
  );
}

export function rateLimited(): StripeError {
  return new StripeError(429, {
    type: 'invalid_request_error',
    code: 'rate_limit',
    message: 'Too many requests hit the API too quickly. Please slow down and try again.',
  });
}

/** Stripe identifies this error by `code`; a program cannot use `type`, which is unspecific here. */
export function keyInUse(key: string): StripeError {
  return new StripeError(409, {
    type: 'idempotency_error',
    code: 'idempotency_key_in_use',
    message: `There is currently another in-progress request using this Idempotent Key: ${key}. Please try again later.`,
  });
}

export function keyReused(key: string, firstEndpoint: string, endpoint: string): StripeError {
  const what =
    firstEndpoint === endpoint
      ? 'can only be used with the same parameters they were first used with'
      : `can only be used for the same endpoint they were first used for ('${firstEndpoint}' vs '${endpoint}')`;
  return new StripeError(400, {
    type: 'idempotency_error',
    message: `Keys for idempotent requests ${what}. Try using a key other than '${key}' if you meant to execute a different request.`,
  });
}
