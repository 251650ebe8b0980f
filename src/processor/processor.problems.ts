import type { ProblemType } from '../idempotency/problem-types.js';
import { id } from '../http/description/schema.js';
import { linkTo, namesResource } from '../http/resource-link.js';

/** The charge in the examples of the API's description. */
export const EXAMPLE_CHARGE = linkTo('charge', 'ch_0q3v5k8m1n7r2s4t6u9v0a5c8e1g3i7k');

const REFUND = { ...id('re'), description: 'On refunds.' };
/** The lab's naive lane says "no": without a key no retry is safe. */
const RETRIES = ['no', 'same_key'] as const;

export const PAYMENT_PENDING = {
  code: 'payment_pending',
  status: 409,
  retry: 'same_key',
  title: 'A payment is pending',
  what: 'A charge or refund whose outcome is not known yet blocks this request: `resource`.',
  why: 'Until it has ended, a second one could pay or refund twice.',
  todo: 'Send the same request after `Retry-After`. The key is still unused.',
  ...namesResource(EXAMPLE_CHARGE),
  headers: ['Retry-After'],
} as const satisfies ProblemType;

export const PROCESSOR_OUTCOME_UNKNOWN = {
  code: 'processor_outcome_unknown',
  status: 504,
  retry: 'same_key',
  title: 'The outcome is not known yet',
  what: 'The processor did not answer in time. The charge is `pending`: it may or may not have taken the money.',
  why: 'The request or the response was lost between this API and the processor. We repeat the request under the same key until the processor answers or the charge’s deadline passes, and then look the payment up. The processor cannot charge twice under one key.',
  todo: 'Send the same request with the same key after `Retry-After`, or watch the charge.',
  retries: RETRIES,
  members: { charge: id('ch') },
  optional: { refund: REFUND },
  example: { charge: EXAMPLE_CHARGE.id },
  headers: ['Retry-After'],
} as const satisfies ProblemType;

export const PROCESSOR_UNAVAILABLE = {
  code: 'processor_unavailable',
  status: 503,
  retry: 'same_key',
  title: 'The processor is unavailable',
  what: 'The processor was not reached, so nothing has happened there so far. The charge is `pending`.',
  why: 'We repeat the request until the charge’s deadline. The charge can still succeed.',
  todo: 'Send the same request with the same key after `Retry-After`.',
  retries: RETRIES,
  optional: {
    charge: { ...id('ch'), description: 'Not on the lab’s ledger.' },
    refund: REFUND,
  },
  example: { charge: EXAMPLE_CHARGE.id },
  headers: ['Retry-After'],
} as const satisfies ProblemType;
