import { Problem } from '../http/problems/problem.js';

/** @param charge its id. */
export function cardDeclined(declineCode: string, charge: string): Problem {
  const detail =
    declineCode === 'authentication_required'
      ? 'The bank asks the customer to authenticate (3-D Secure), which this API does not run. Try again only with another payment method.'
      : `The card was declined: ${declineCode}.`;
  return new Problem('card_declined', detail, {
    extensions: { decline_code: declineCode, charge },
  });
}
