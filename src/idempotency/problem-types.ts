/** Machine-readable retry advice: safe to automate. */
export type Retry = 'same_key' | 'after_fix' | 'new_key' | 'no';

/**
 * A problem type (RFC 9457): what every answer with this code has in common. `what`, `why` and `todo` are the text of
 * its page: what happened, why, and what the client does next. Plain text, with `code` in backticks.
 */
export interface ProblemType {
  code: string;
  status: number;
  /** The default: an error of this type may set another. */
  retry: Retry;
  title: string;
  what: string;
  why: string;
  todo: string;
  /** Every `retry` that it can have, if there are several. */
  retries?: readonly Retry[];
  /** JSON Schemas of its extension members; `optional` has the members that only some routes add. */
  members?: Readonly<Record<string, object>>;
  optional?: Readonly<Record<string, object>>;
  /** Values for the example in the documentation, of members that are not the same in every problem. */
  example?: Readonly<Record<string, unknown>>;
  headers?: readonly ('Retry-After' | 'Allow' | 'WWW-Authenticate')[];
}

export const IDEMPOTENCY_KEY_MISSING = {
  code: 'idempotency_key_missing',
  status: 400,
  retry: 'after_fix',
  title: 'Idempotency key missing',
  what: 'This operation creates or changes something, and the request had no `Idempotency-Key`.',
  why: 'Without a key the server cannot distinguish a retry after a lost response from a second purchase.',
  todo: 'Create one key when the purchase begins, store it with the purchase, and send it with every attempt.',
} as const satisfies ProblemType;

export const IDEMPOTENCY_KEY_INVALID = {
  code: 'idempotency_key_invalid',
  status: 400,
  retry: 'after_fix',
  title: 'Idempotency key invalid',
  what: 'The key was empty, longer than 255 characters, sent twice, had characters outside printable ASCII, or had a quote or a comma without being a quoted string (RFC 8941).',
  why: 'Two header lines arrive joined as one. A key that was cut or joined would name the wrong intent.',
  todo: 'Send one header line with 1 to 255 printable ASCII characters, without quotes and commas; a UUID is fine.',
} as const satisfies ProblemType;

export const IDEMPOTENCY_KEY_REUSED = {
  code: 'idempotency_key_reused',
  status: 422,
  retry: 'no',
  title: 'Idempotency key reused',
  what: 'The key was used before, for another operation, path, query or body. `mismatched` names the members that differ.',
  why: 'One key is one intent. The first result would hide that you asked for something else; performing the second request would make retries unsafe.',
  todo: 'What the key created still exists: look it up with `GET /idempotency-keys/{key}`. If this is another purchase, create another key for it.',
  members: {
    mismatched: {
      type: 'array',
      items: { type: 'string' },
      description: 'JSON Pointers of the top-level members that differ; never their values.',
    },
  },
  example: { mismatched: ['/amount'] },
} as const satisfies ProblemType;

export const IDEMPOTENCY_REQUEST_IN_PROGRESS = {
  code: 'idempotency_request_in_progress',
  status: 409,
  retry: 'same_key',
  title: 'The first request is still running',
  what: 'Another request with this key has not ended, and this request has waited as long as it may.',
  why: 'Only one of several simultaneous duplicates runs. The others wait for its answer, for a limited time.',
  todo: 'Send the same request with the same key after `Retry-After`. `Prefer: wait=30` waits longer. Never use a new key here.',
  headers: ['Retry-After'],
} as const satisfies ProblemType;

export const IDEMPOTENCY_KEY_EXPIRED = {
  code: 'idempotency_key_expired',
  status: 409,
  retry: 'no',
  title: 'The stored answer has expired',
  what: 'More than the key’s time to live has passed since its request completed. The object that it created is `resource`.',
  why: 'The answer is no longer available. The object’s id is derived from the key, so the database refuses to create it a second time.',
  todo: 'Look at `resource`. If it failed (`retry: new_key`), another attempt needs a new key. Otherwise there is nothing left to do.',
  retries: ['no', 'new_key'],
} as const satisfies ProblemType;

export const NOT_FOUND = {
  code: 'not_found',
  status: 404,
  retry: 'no',
  title: 'Not found',
  what: 'There is no such route, or no object with this id belongs to your account.',
  why: 'Another account’s object answers exactly like an object that does not exist. A request that is refused this way leaves its key unused.',
  todo: 'Check the path and the id. With `retry: after_fix`, correct the id and send the request again; the key is still free.',
  retries: ['no', 'after_fix'],
  example: { retry: 'after_fix' },
} as const satisfies ProblemType;

export const DATABASE_UNAVAILABLE = {
  code: 'database_unavailable',
  status: 503,
  retry: 'same_key',
  title: 'The database is unavailable',
  what: 'PostgreSQL could not be reached. This request did nothing.',
  why: 'The server does nothing that it cannot record first.',
  todo: 'Send the same request with the same key after `Retry-After`. An earlier attempt with this key may have taken effect.',
  headers: ['Retry-After'],
} as const satisfies ProblemType;

export const OUTCOME_UNKNOWN = {
  code: 'outcome_unknown',
  status: 503,
  retry: 'same_key',
  title: 'The outcome is not known',
  what: 'The connection to the database was lost after the request was sent to it. The request may have taken effect.',
  why: 'A COMMIT whose acknowledgement is lost may have happened. Recovery finishes a pending row, if there is one.',
  todo: 'Send the same request with the same key after `Retry-After`: the answer shows the outcome. PUT and DELETE need no key: send the same request again. If a PUT with `If-None-Match: *` is then 412, GET the object, which may be your own.',
  headers: ['Retry-After'],
} as const satisfies ProblemType;
