import type { ResourceLink } from '../idempotency/errors.js';
import { Problem } from '../http/problems/problem.js';
import type { ProblemType } from '../idempotency/problem-types.js';
import { EXAMPLE_CHARGE } from '../processor/processor.problems.js';
import { id, text } from '../http/description/schema.js';
import { namesResource } from '../http/resource-link.js';

export const REFUND_EXCEEDS_CHARGE = {
  code: 'refund_exceeds_charge',
  status: 409,
  retry: 'no',
  title: 'More than is left to refund',
  what: 'The amount is more than the part of the charge that has not been refunded.',
  why: 'Simultaneous refunds together never return more than the charge took.',
  todo: 'Look at `amount` and `amount_refunded` of the charge.',
  ...namesResource(EXAMPLE_CHARGE),
} as const satisfies ProblemType;

export const CHARGE_NOT_REFUNDABLE = {
  code: 'charge_not_refundable',
  status: 409,
  retry: 'no',
  title: 'The charge cannot be refunded',
  what: 'The charge took no money.',
  why: 'Only a succeeded charge can be refunded.',
  todo: 'Look at the charge.',
  ...namesResource(EXAMPLE_CHARGE),
} as const satisfies ProblemType;

export const REFUND_FAILED = {
  code: 'refund_failed',
  status: 402,
  retry: 'new_key',
  title: 'The refund failed',
  what: 'The processor rejected the refund: `failure_code` says why.',
  why: 'The answer is stored under the key. No money moved.',
  todo: 'Correct the cause; another attempt needs a new key. With `failure_code: refund_exceeds_charge` a refund was made in the processor’s dashboard: look at `amount_refunded` of the charge first.',
  members: { failure_code: text(), refund: id('re'), charge: id('ch') },
  example: {
    failure_code: 'charge_disputed',
    refund: 're_2b4d6f8h0j1l3n5p7r9t1v0a2c4e6g8i',
    charge: EXAMPLE_CHARGE.id,
  },
} as const satisfies ProblemType;

/** @param resource the object that causes the refusal. */
export function refusal(type: ProblemType, detail: string, resource: ResourceLink): Problem {
  return new Problem(type, detail, { extensions: { resource } });
}
