import { UNAUTHORIZED } from '../accounts/account.problems.js';
import * as charges from '../charges/charge.problems.js';
import * as http from '../http/problems/http.problems.js';
import { namesResource } from '../http/resource-link.js';
import * as engine from '../idempotency/problem-types.js';
import * as orders from '../orders/order.problems.js';
import * as processor from '../processor/processor.problems.js';
import * as refunds from '../refunds/refund.problems.js';

/** The risk of a new key. The texts of the engine and of HTTP do not mention charges, so the catalogue adds this. */
const NEW_KEY_WARNING =
  'Without `order`, a new key after this answer can charge twice, and nothing reveals it: only the same key is safe. Name an `order` in your charges, and the database refuses a second payment whatever the key.';

function warned<Type extends engine.ProblemType>(type: Type) {
  return { ...type, todo: `${type.todo} ${NEW_KEY_WARNING}` };
}

/** Every problem that this API answers with, each as its module defines it, in the order of the page. */
const TYPES = [
  engine.NOT_FOUND,
  http.METHOD_NOT_ALLOWED,
  UNAUTHORIZED,
  http.RATE_LIMITED,
  http.PAYLOAD_TOO_LARGE,
  http.UNSUPPORTED_MEDIA_TYPE,
  http.MALFORMED_JSON,
  engine.IDEMPOTENCY_KEY_MISSING,
  engine.IDEMPOTENCY_KEY_INVALID,
  engine.IDEMPOTENCY_KEY_REUSED,
  engine.IDEMPOTENCY_REQUEST_IN_PROGRESS,
  { ...engine.IDEMPOTENCY_KEY_EXPIRED, ...namesResource(processor.EXAMPLE_CHARGE) },
  http.VALIDATION_FAILED,
  http.PRECONDITION_FAILED,
  http.PRECONDITION_REQUIRED,
  processor.PAYMENT_PENDING,
  orders.ORDER_ALREADY_PAID,
  orders.ORDER_CANCELED,
  refunds.REFUND_EXCEEDS_CHARGE,
  refunds.CHARGE_NOT_REFUNDABLE,
  charges.CARD_DECLINED,
  charges.CHARGE_FAILED,
  refunds.REFUND_FAILED,
  warned(processor.PROCESSOR_OUTCOME_UNKNOWN),
  warned(processor.PROCESSOR_UNAVAILABLE),
  http.NOT_READY,
  warned(engine.DATABASE_UNAVAILABLE),
  {
    ...warned(engine.OUTCOME_UNKNOWN),
    what: `${engine.OUTCOME_UNKNOWN.what} A charge may exist and may be paid.`,
  },
  warned(http.INTERNAL_ERROR),
] as const;

export type ProblemCode = (typeof TYPES)[number]['code'];

export const PROBLEMS = Object.fromEntries(TYPES.map((type) => [type.code, type])) as Record<
  ProblemCode,
  engine.ProblemType
>;
