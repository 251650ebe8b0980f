import { Problem } from '../http/problems/problem.js';
import type { ProblemType } from '../idempotency/problem-types.js';
import { id, text } from '../http/description/schema.js';
import { EXAMPLE_CHARGE } from '../processor/processor.problems.js';

export const CARD_DECLINED = {
  code: 'card_declined',
  status: 402,
  retry: 'new_key',
  title: 'Card declined',
  what: 'The processor declined: `decline_code` says why. Nothing was taken.',
  why: 'This is a definite answer, so it is stored. The same key always returns it.',
  todo: 'Ask the customer for another card. That is another attempt and needs a new key. With `decline_code: authentication_required` the bank asks the customer to authenticate (3-D Secure). This API does not support that: the same payment method ends the same way under any key, and its payment is canceled at the processor. Use another payment method, or collect this payment on a page where the customer can authenticate, such as Stripe Checkout.',
  members: { decline_code: text('As the processor reports it.'), charge: id('ch') },
  example: {
    decline_code: 'insufficient_funds',
    charge: EXAMPLE_CHARGE.id,
  },
} as const satisfies ProblemType;

export const CHARGE_FAILED = {
  code: 'charge_failed',
  status: 402,
  retry: 'new_key',
  title: 'The charge failed',
  what: 'The charge failed for a reason other than a decline: `failure_code` says which. Nothing was taken.',
  why: 'The processor rejected the request, stock ran out, or the charge was abandoned before anything was taken. The answer is stored under the key.',
  todo: 'Correct the cause; another attempt needs a new key.',
  members: { failure_code: text(), charge: id('ch') },
  example: {
    failure_code: 'insufficient_inventory',
    charge: EXAMPLE_CHARGE.id,
  },
} as const satisfies ProblemType;

/** A declined or failed charge is a final answer. No other 4xx is final, and no 5xx. */
export const isFinal = (status: number): boolean =>
  (status >= 200 && status <= 299) || status === CARD_DECLINED.status;

export function cardDeclined(declineCode: string, charge: string): Problem {
  const detail =
    declineCode === 'authentication_required'
      ? 'The bank asks the customer to authenticate (3-D Secure), which this API does not run. Try again only with another payment method.'
      : `The card was declined: ${declineCode}.`;
  return new Problem(CARD_DECLINED, detail, {
    extensions: { decline_code: declineCode, charge },
  });
}
