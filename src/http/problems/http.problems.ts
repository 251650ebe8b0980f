import type { ProblemType } from '../../idempotency/problem-types.js';
import { exactly, text } from '../description/schema.js';

export const METHOD_NOT_ALLOWED = {
  code: 'method_not_allowed',
  status: 405,
  retry: 'no',
  title: 'Method not allowed',
  what: 'The path exists, but not with this method.',
  why: 'The `Allow` header lists the methods it has.',
  todo: 'Use one of those.',
  headers: ['Allow'],
} as const satisfies ProblemType;

export const RATE_LIMITED = {
  code: 'rate_limited',
  status: 429,
  retry: 'same_key',
  title: 'Too many requests',
  what: 'Your account sent more requests than its limit, or a list got no turn within 2 s. `RateLimit` on every authenticated answer says what is left.',
  why: 'The limit is checked before the idempotency key is touched, so this request did nothing. Each server counts separately; a replay counts like any request.',
  todo: 'Wait for `Retry-After`, then send the same request with the same key.',
  headers: ['Retry-After'],
} as const satisfies ProblemType;

export const PAYLOAD_TOO_LARGE = {
  code: 'payload_too_large',
  status: 413,
  retry: 'after_fix',
  title: 'Payload too large',
  what: 'The body is larger than 64 KiB (1 MiB for a webhook that this API receives).',
  why: 'No valid request comes near that size.',
  todo: 'Send less.',
} as const satisfies ProblemType;

export const UNSUPPORTED_MEDIA_TYPE = {
  code: 'unsupported_media_type',
  status: 415,
  retry: 'after_fix',
  title: 'Unsupported media type',
  what: 'The body is not `application/json` in UTF-8.',
  why: 'The server does not guess what another type means.',
  todo: 'Send `Content-Type: application/json`.',
} as const satisfies ProblemType;

export const MALFORMED_JSON = {
  code: 'malformed_json',
  status: 400,
  retry: 'after_fix',
  title: 'Malformed JSON',
  what: 'The body is not one JSON object in UTF-8, or it contains something that two parsers may read differently: duplicate members, `__proto__`, U+0000, a lone surrogate, more than 32 levels, a number beyond range.',
  why: 'A key names one meaning of a body. A body with two meanings cannot have a key.',
  todo: 'Send plain JSON. The key is still unused.',
} as const satisfies ProblemType;

export const VALIDATION_FAILED = {
  code: 'validation_failed',
  status: 400,
  retry: 'after_fix',
  title: 'Validation failed',
  what: 'One or more values cannot be used. `errors` names each by a JSON Pointer.',
  why: 'Nothing was stored. The key is still unused.',
  todo: 'Correct the request and send it with the same key.',
  members: {
    errors: {
      type: 'array',
      minItems: 1,
      items: exactly({
        pointer: text('A JSON Pointer into the body; for a query or a header, `/` and its name.'),
        detail: text(),
      }),
    },
  },
  example: { errors: [{ pointer: '/amount', detail: 'must not be less than 1' }] },
} as const satisfies ProblemType;

export const PRECONDITION_FAILED = {
  code: 'precondition_failed',
  status: 412,
  retry: 'after_fix',
  title: 'Precondition failed',
  what: 'The object has changed since the `ETag` that you sent in `If-Match`, or it exists although you sent `If-None-Match: *`.',
  why: 'Another client changed the object first. The server does not overwrite that change.',
  todo: 'GET the object, apply your change to what is there now, and PUT it with the new `ETag`. If an earlier answer to the same `If-None-Match: *` was lost, the object may be the one that you sent: then nothing is left to do.',
} as const satisfies ProblemType;

export const PRECONDITION_REQUIRED = {
  code: 'precondition_required',
  status: 428,
  retry: 'after_fix',
  title: 'Precondition required',
  what: 'The object exists with other content, and the request had no `If-Match`.',
  why: 'An unconditional PUT that arrives late would restore an old state.',
  todo: 'GET the object and send its `ETag` in `If-Match`.',
} as const satisfies ProblemType;

export const NOT_READY = {
  code: 'not_ready',
  status: 503,
  retry: 'same_key',
  title: 'Not ready',
  what: 'This instance is stopping and wants no more requests. Only `/health/ready` answers this.',
  why: 'It finishes what it has accepted. Another instance takes the next request.',
  todo: 'Ask again after `Retry-After`, or ask another instance.',
  headers: ['Retry-After'],
} as const satisfies ProblemType;

export const INTERNAL_ERROR = {
  code: 'internal_error',
  status: 500,
  retry: 'same_key',
  title: 'Internal error',
  what: 'The server has a defect.',
  why: 'Our logs have the details under the `request_id`.',
  todo: 'Send the same request with the same key after `Retry-After`. That is safe whatever happened before.',
  headers: ['Retry-After'],
  retries: ['no', 'same_key'],
} as const satisfies ProblemType;
