import { PROBLEMS, type ProblemCode } from './problem-catalogue.js';
import type { Retry } from '../idempotency/problem-types.js';
import { HEADERS, type HeaderName } from '../http/description/headers.js';
import { exactly, id, oneOfTexts, ref, text, type Schema } from '../http/description/schema.js';

/** What a problem carries beyond what every problem has. */
interface Extension {
  members?: Record<string, Schema>;
  /** Members that some routes add. */
  optional?: Record<string, Schema>;
  example?: Record<string, unknown>;
  /** When the code has more than the catalogue's own. */
  retries?: readonly Retry[];
  headers?: readonly HeaderName[];
}

const CHARGE = 'ch_0q3v5k8m1n7r2s4t6u9v0a5c8e1g3i7k';
const inTheWay: Extension = {
  members: { resource: ref('ResourceLink') },
  example: { resource: { object: 'charge', id: CHARGE, url: `/charges/${CHARGE}` } },
};
const chargeOrRefund: Extension = {
  members: { charge: id('ch') },
  optional: { refund: { ...id('re'), description: 'On refunds.' } },
  example: { charge: CHARGE },
  headers: ['Retry-After'],
};
const later: Extension = { headers: ['Retry-After'] };

const EXTENSIONS: Partial<Record<ProblemCode, Extension>> = {
  not_found: { retries: ['no', 'after_fix'] },
  method_not_allowed: { headers: ['Allow'] },
  unauthorized: { headers: ['WWW-Authenticate'] },
  rate_limited: later,
  not_ready: later,
  idempotency_key_reused: {
    members: {
      mismatched: {
        type: 'array',
        items: { type: 'string' },
        description: 'JSON Pointers of the top-level members that differ; never their values.',
      },
    },
    example: { mismatched: ['/amount'] },
  },
  idempotency_request_in_progress: later,
  idempotency_key_expired: { ...inTheWay, retries: ['no', 'new_key'] },
  validation_failed: {
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
  },
  payment_pending: { ...inTheWay, headers: ['Retry-After'] },
  order_already_paid: inTheWay,
  order_canceled: inTheWay,
  refund_exceeds_charge: inTheWay,
  charge_not_refundable: inTheWay,
  card_declined: {
    members: { decline_code: text('As the processor says it.'), charge: id('ch') },
    example: { decline_code: 'insufficient_funds', charge: CHARGE },
  },
  charge_failed: {
    members: { failure_code: text(), charge: id('ch') },
    example: { failure_code: 'insufficient_inventory', charge: CHARGE },
  },
  refund_failed: {
    members: { failure_code: text(), refund: id('re'), charge: id('ch') },
    example: {
      failure_code: 'charge_disputed',
      refund: 're_2b4d6f8h0j1l3n5p7r9t1v0a2c4e6g8i',
      charge: CHARGE,
    },
  },
  // The lab's naive lane says "no": without a key nothing can be repeated safely.
  processor_outcome_unknown: { ...chargeOrRefund, retries: ['no', 'same_key'] },
  processor_unavailable: {
    optional: {
      charge: { ...id('ch'), description: 'Not on the lab’s ledger.' },
      refund: { ...id('re'), description: 'On refunds.' },
    },
    example: { charge: CHARGE },
    headers: ['Retry-After'],
    retries: ['no', 'same_key'],
  },
  internal_error: { ...later, retries: ['no', 'same_key'] },
  database_unavailable: later,
  outcome_unknown: later,
};

export const CODES = Object.keys(PROBLEMS) as ProblemCode[];

/** Headers that come with a problem of this code, always. */
export function headersOfProblem(code: ProblemCode): readonly HeaderName[] {
  return EXTENSIONS[code]?.headers ?? [];
}

/** One strict schema for each code, for example `problem.card_declined`. */
export function problemSchemas(): Record<string, Schema> {
  return Object.fromEntries(CODES.map((code) => [`problem.${code}`, problemSchema(code)]));
}

function problemSchema(code: ProblemCode): Schema {
  const { status, title, what, why, todo } = PROBLEMS[code];
  const { members = {}, optional } = EXTENSIONS[code] ?? {};
  const schema = exactly(
    {
      type: { type: 'string', const: `/problems/${code}` },
      title: { type: 'string', const: title },
      status: { type: 'integer', const: status },
      detail: text('What happened this time, for people.'),
      code: { type: 'string', const: code },
      request_id: {
        ...text('Names the request in our logs; in a replay, the one that made the answer.'),
        pattern: HEADERS['Request-Id'].schema.pattern!,
      },
      retry: { ...oneOfTexts(retriesOf(code)), description: 'What may be done next.' },
      ...members,
    },
    `${what} ${why} ${todo}`,
  );
  return { ...schema, properties: { ...schema.properties, ...optional } };
}

export function retriesOf(code: ProblemCode): readonly Retry[] {
  return EXTENSIONS[code]?.retries ?? [PROBLEMS[code].retry];
}

/** An example of each, with the last of its possible `retry` (for `not_found`: an object, not a route). */
export function problemExample(code: ProblemCode): object {
  const { status, title, what } = PROBLEMS[code];
  return {
    type: `/problems/${code}`,
    title,
    status,
    detail: what,
    code,
    request_id: HEADERS['Request-Id'].example,
    retry: code === 'idempotency_key_expired' ? 'no' : retriesOf(code).at(-1),
    ...EXTENSIONS[code]?.example,
  };
}
