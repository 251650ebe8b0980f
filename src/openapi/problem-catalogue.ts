import type { ProblemType } from '../idempotency/problem-types.js';
import { UNAUTHORIZED } from '../accounts/account.problems.js';
import { CARD_DECLINED, CHARGE_FAILED } from '../charges/charge.problems.js';
import {
  METHOD_NOT_ALLOWED,
  RATE_LIMITED,
  PAYLOAD_TOO_LARGE,
  UNSUPPORTED_MEDIA_TYPE,
  MALFORMED_JSON,
  VALIDATION_FAILED,
  PRECONDITION_FAILED,
  PRECONDITION_REQUIRED,
  NOT_READY,
  INTERNAL_ERROR,
} from '../http/problems/http.problems.js';
import {
  IDEMPOTENCY_KEY_MISSING,
  IDEMPOTENCY_KEY_INVALID,
  IDEMPOTENCY_KEY_REUSED,
  IDEMPOTENCY_REQUEST_IN_PROGRESS,
  IDEMPOTENCY_KEY_EXPIRED,
  NOT_FOUND,
  DATABASE_UNAVAILABLE,
  OUTCOME_UNKNOWN,
} from '../idempotency/problem-types.js';
import { namesResource } from '../http/resource-link.js';
import { ORDER_ALREADY_PAID, ORDER_CANCELED } from '../orders/order.problems.js';
import {
  EXAMPLE_CHARGE,
  PAYMENT_PENDING,
  PROCESSOR_OUTCOME_UNKNOWN,
  PROCESSOR_UNAVAILABLE,
} from '../processor/processor.problems.js';
import {
  REFUND_EXCEEDS_CHARGE,
  CHARGE_NOT_REFUNDABLE,
  REFUND_FAILED,
} from '../refunds/refund.problems.js';

/** What a new key risks. The engine's and HTTP's own problems name no charge, so the catalogue adds it. */
const NEW_KEY_WARNING =
  'Without `order`, a new key after this answer can charge twice, and nothing reveals it: only the same key is safe. Name an `order` in your charges, and the database refuses a second payment whatever the key.';

function warned<Type extends ProblemType>(type: Type) {
  return { ...type, todo: `${type.todo} ${NEW_KEY_WARNING}` };
}

/** Every problem that this API answers with, each as its module defines it, in the order of the page. */
const TYPES = [
  NOT_FOUND,
  METHOD_NOT_ALLOWED,
  UNAUTHORIZED,
  RATE_LIMITED,
  PAYLOAD_TOO_LARGE,
  UNSUPPORTED_MEDIA_TYPE,
  MALFORMED_JSON,
  IDEMPOTENCY_KEY_MISSING,
  IDEMPOTENCY_KEY_INVALID,
  IDEMPOTENCY_KEY_REUSED,
  IDEMPOTENCY_REQUEST_IN_PROGRESS,
  { ...IDEMPOTENCY_KEY_EXPIRED, ...namesResource(EXAMPLE_CHARGE) },
  VALIDATION_FAILED,
  PRECONDITION_FAILED,
  PRECONDITION_REQUIRED,
  PAYMENT_PENDING,
  ORDER_ALREADY_PAID,
  ORDER_CANCELED,
  REFUND_EXCEEDS_CHARGE,
  CHARGE_NOT_REFUNDABLE,
  CARD_DECLINED,
  CHARGE_FAILED,
  REFUND_FAILED,
  warned(PROCESSOR_OUTCOME_UNKNOWN),
  warned(PROCESSOR_UNAVAILABLE),
  NOT_READY,
  warned(DATABASE_UNAVAILABLE),
  {
    ...warned(OUTCOME_UNKNOWN),
    what: `${OUTCOME_UNKNOWN.what} A charge may exist and may be paid.`,
  },
  warned(INTERNAL_ERROR),
] as const;

export type ProblemCode = (typeof TYPES)[number]['code'];

export const PROBLEMS = Object.fromEntries(TYPES.map((type) => [type.code, type])) as Record<
  ProblemCode,
  ProblemType
>;
