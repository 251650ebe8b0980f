import type { Retry } from '../idempotency/problem-types.js';

/** Read by machines and by people. The `retry` of every problem is one of these. */
export const RETRY_MEANS: Readonly<Record<Retry, string>> = {
  same_key: 'Send the same request again with the same key, after `Retry-After`.',
  after_fix: 'Correct the request. This request did not change the key.',
  new_key:
    'This attempt has ended and nothing was taken. Another attempt, if the customer wants one, needs a new key.',
  no: 'No retry will succeed. Look at `resource`, or look the key up.',
};
