import type { Retry } from '../idempotency/errors.js';

/** One page of /problems: what happened, why, what to do. Plain text; `code` between back-quotes. */
export interface ProblemPage {
  status: number;
  retry: Retry;
  title: string;
  what: string;
  why: string;
  todo: string;
}

const NEW_KEY_WARNING =
  'Without `order`, a new key after this answer can charge twice and nobody can see it: only the same key is safe. Name an `order` in your charges, and the database refuses a second payment whatever the key.';

/** Every problem that this API answers with: the only list of codes, statuses and titles. */
export const PROBLEMS = {
  not_found: {
    status: 404,
    retry: 'no',
    title: 'Not found',
    what: 'There is no such route, or no object with this id belongs to your account.',
    why: 'Another account’s object answers exactly like one that was never made. A request refused this way leaves its key unused.',
    todo: 'Check the path and the id. With `retry: after_fix`, correct the id and send the request again; the key is still free.',
  },
  method_not_allowed: {
    status: 405,
    retry: 'no',
    title: 'Method not allowed',
    what: 'The path exists, but not with this method.',
    why: 'The `Allow` header lists the methods it has.',
    todo: 'Use one of those.',
  },
  unauthorized: {
    status: 401,
    retry: 'after_fix',
    title: 'Unauthorized',
    what: 'The request carried no API key, an unknown one, or one that was revoked.',
    why: 'Every call but the health, documentation, problem and lab pages needs `Authorization: Bearer <api key>`.',
    todo: 'Send a valid key. Another API key of the same account may finish what an old one began: idempotency keys belong to the account.',
  },
  rate_limited: {
    status: 429,
    retry: 'same_key',
    title: 'Too many requests',
    what: 'Your account sent more requests than its limit. `RateLimit` tells on every answer what is left.',
    why: 'The limit is checked before the idempotency key is touched, so this request did nothing. Each server counts for itself; a replay counts like any request.',
    todo: 'Wait for `Retry-After`, then send the same request with the same key.',
  },
  payload_too_large: {
    status: 413,
    retry: 'after_fix',
    title: 'Payload too large',
    what: 'The body is larger than 64 KiB.',
    why: 'No valid request comes near that size.',
    todo: 'Send less.',
  },
  unsupported_media_type: {
    status: 415,
    retry: 'after_fix',
    title: 'Unsupported media type',
    what: 'The body is not `application/json` in UTF-8.',
    why: 'Other types are not guessed at.',
    todo: 'Send `Content-Type: application/json`.',
  },
  malformed_json: {
    status: 400,
    retry: 'after_fix',
    title: 'Malformed JSON',
    what: 'The body is not one JSON object in UTF-8, or has something in it that two parsers would read differently: duplicate members, `__proto__`, U+0000, a lone surrogate, more than 32 levels, a number beyond range.',
    why: 'The key stands for what the body means; a body with two meanings cannot have a key.',
    todo: 'Send plain JSON. The key is still unused.',
  },
  idempotency_key_missing: {
    status: 400,
    retry: 'after_fix',
    title: 'Idempotency key missing',
    what: 'This operation makes or moves something, and the request had no `Idempotency-Key`.',
    why: 'Without a key a retry after a lost response could not be told from a second purchase.',
    todo: 'Make one key per purchase when the purchase begins, keep it with the purchase, and send it with every attempt.',
  },
  idempotency_key_invalid: {
    status: 400,
    retry: 'after_fix',
    title: 'Idempotency key invalid',
    what: 'The key was empty, longer than 255 characters, sent twice, or had characters outside printable ASCII.',
    why: 'Two header lines arrive joined as one; a key that is cut or joined would stand for the wrong intent.',
    todo: 'Send one header line with 1 to 255 printable ASCII characters; a UUID is fine.',
  },
  idempotency_key_reused: {
    status: 422,
    retry: 'no',
    title: 'Idempotency key reused',
    what: 'The key was used before, for another operation or another body. `mismatched` names the members that differ.',
    why: 'One key is one intent. Answering with the first result would hide that you asked for something else; doing the second would make retries unsafe.',
    todo: 'What the key made still stands: look it up with `GET /idempotency-keys/{key}`. If this is really another purchase, give it a key of its own.',
  },
  idempotency_request_in_progress: {
    status: 409,
    retry: 'same_key',
    title: 'The first request is still running',
    what: 'Another request with this key has not ended, and the wait for it is over.',
    why: 'Only one of several simultaneous duplicates runs; the others wait for its answer, for a while.',
    todo: 'Send the same request with the same key after `Retry-After`. `Prefer: wait=30` waits longer. Never use a new key here.',
  },
  idempotency_key_expired: {
    status: 409,
    retry: 'no',
    title: 'The stored answer has expired',
    what: 'The key is older than its time to live; the object it made is `resource`.',
    why: 'The answer is gone, but the object’s id is derived from the key, so the database refuses to make it a second time.',
    todo: 'Look at `resource`. If it failed (`retry: new_key`) another attempt needs a new key; otherwise there is nothing left to do.',
  },
  validation_failed: {
    status: 400,
    retry: 'after_fix',
    title: 'Validation failed',
    what: 'One or more values cannot be used: `errors` names each by a JSON Pointer.',
    why: 'Nothing was stored, the key is still unused.',
    todo: 'Correct the request and send it with the same key.',
  },
  precondition_failed: {
    status: 412,
    retry: 'after_fix',
    title: 'Precondition failed',
    what: 'The object has changed since the `ETag` that you sent in `If-Match`, or exists although you sent `If-None-Match: *`.',
    why: 'Somebody else was faster; their change is not overwritten.',
    todo: 'GET the object, apply your change to what is there now, and PUT it with the new `ETag`.',
  },
  precondition_required: {
    status: 428,
    retry: 'after_fix',
    title: 'Precondition required',
    what: 'The object exists with other content, and the request had no `If-Match`.',
    why: 'An unconditional PUT that arrives late would put an old state back.',
    todo: 'GET the object and send its `ETag` in `If-Match`.',
  },
  payment_pending: {
    status: 409,
    retry: 'same_key',
    title: 'A payment is pending',
    what: 'A charge or refund whose outcome is not known yet stands in the way: `resource`.',
    why: 'Until it has ended, going on could pay or refund twice.',
    todo: 'Send the same request after `Retry-After`; the key is still unused.',
  },
  order_already_paid: {
    status: 409,
    retry: 'no',
    title: 'The order is paid',
    what: 'The order has its one payment: `resource`.',
    why: 'A unique index allows one live charge per order, whatever the key, client or server.',
    todo: 'Look at `resource`. There is nothing left to pay.',
  },
  order_canceled: {
    status: 409,
    retry: 'no',
    title: 'The order is canceled',
    what: 'A canceled order is neither charged nor changed.',
    why: 'Canceling is final.',
    todo: 'Make a new order.',
  },
  refund_exceeds_charge: {
    status: 409,
    retry: 'no',
    title: 'More than is left to refund',
    what: 'The amount is more than the charge less what was refunded.',
    why: 'However many refunds run at once, never more goes back than was taken.',
    todo: 'Look at `amount` and `amount_refunded` of the charge.',
  },
  charge_not_refundable: {
    status: 409,
    retry: 'no',
    title: 'The charge cannot be refunded',
    what: 'The charge took no money.',
    why: 'Only a succeeded charge can be refunded.',
    todo: 'Look at the charge.',
  },
  card_declined: {
    status: 402,
    retry: 'new_key',
    title: 'Card declined',
    what: 'The processor declined: `decline_code` says why. Nothing was taken.',
    why: 'This is a definite answer, so it is stored: the same key gives it again, for ever.',
    todo: 'Ask the customer for another card. That is another attempt and needs a new key.',
  },
  charge_failed: {
    status: 402,
    retry: 'new_key',
    title: 'The charge failed',
    what: 'A definite no that is not a decline: `failure_code` says which. Nothing was taken.',
    why: 'The processor refused the request as it stands, stock ran out, or the attempt was given up before anything was taken. The answer is stored under the key.',
    todo: 'Mend the cause; another attempt needs a new key.',
  },
  refund_failed: {
    status: 402,
    retry: 'new_key',
    title: 'The refund failed',
    what: 'The processor refused the refund for good: `failure_code`.',
    why: 'The answer is stored under the key. No money moved.',
    todo: 'Mend the cause; another attempt needs a new key.',
  },
  processor_outcome_unknown: {
    status: 504,
    retry: 'same_key',
    title: 'The outcome is not known yet',
    what: 'The processor did not answer in time. The charge is `pending`; it may have taken the money or not.',
    why: 'This is the lost response, one hop further. We ask the processor again under the same key until it tells; it cannot charge twice under one key.',
    todo: `Send the same request with the same key after \`Retry-After\`, or watch the charge. ${NEW_KEY_WARNING}`,
  },
  processor_unavailable: {
    status: 503,
    retry: 'same_key',
    title: 'The processor is unavailable',
    what: 'The processor was not reached: nothing has happened there so far. The charge is `pending`.',
    why: 'We go on trying until the charge’s deadline. The charge can still succeed.',
    todo: `Send the same request with the same key after \`Retry-After\`. ${NEW_KEY_WARNING}`,
  },
  database_unavailable: {
    status: 503,
    retry: 'same_key',
    title: 'The database is unavailable',
    what: 'PostgreSQL could not be reached. This request did nothing.',
    why: 'Nothing is charged that cannot be recorded first.',
    todo: `Send the same request with the same key after \`Retry-After\`. An earlier attempt with this key may have taken effect. ${NEW_KEY_WARNING}`,
  },
  outcome_unknown: {
    status: 503,
    retry: 'same_key',
    title: 'The outcome is not known',
    what: 'The database was lost after the request had been sent to it: the charge may exist and may be paid.',
    why: 'A COMMIT whose acknowledgement is lost may have happened. The row, if there is one, is finished by recovery.',
    todo: `Send the same request with the same key after \`Retry-After\`: it finds out. ${NEW_KEY_WARNING}`,
  },
  internal_error: {
    status: 500,
    retry: 'same_key',
    title: 'Internal error',
    what: 'A fault of ours.',
    why: 'It is in our logs under the `request_id`.',
    todo: `Send the same request with the same key: it is safe whatever had happened. ${NEW_KEY_WARNING}`,
  },
} as const satisfies Record<string, ProblemPage>;

export type ProblemCode = keyof typeof PROBLEMS;
