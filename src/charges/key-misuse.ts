/** A wrong way to use keys: what then happens here, and what to do instead. Plain text; `code` between back-quotes. */
export interface KeyMisuse {
  mistake: string;
  happens: string;
  instead: string;
}

/** Each row is proven by test/white-box/docs/misuse.spec.ts. */
export const KEY_MISUSES: readonly KeyMisuse[] = [
  {
    mistake: 'A new key for each retry',
    happens:
      'Two keys are two purchases: after a lost response the customer pays twice, and both ledgers agree about it. With `order` the second is 409 `order_already_paid`.',
    instead: 'Store the key before the first request is sent; every retry reads it from there.',
  },
  {
    mistake: 'A key from a clock',
    happens:
      'The retry comes a moment later, so it has another key and pays again. Two purchases in the same moment have one key: the second is 422, or gets the first one’s charge and is never paid.',
    instead: 'Name the purchase, not the moment.',
  },
  {
    mistake: 'A key from a price or from the contents of the cart',
    happens:
      'Two customers who buy the same thing have one key: the second gets the first one’s 201 as a replay, and nothing is taken from them.',
    instead: 'Name the purchase, not what is in it.',
  },
  {
    mistake: 'A key from a delivery counter of a queue',
    happens: 'Every delivery of the same job is a new key, hence a new charge.',
    instead:
      'Count the attempts of the purchase, in its row: `order_8472_charge_attempt_1` stays the same however often the job is delivered.',
  },
  {
    mistake: 'One key for two purchases',
    happens:
      'A second one with another body is 422 `idempotency_key_reused`, and nothing is taken; with the same body it gets the first one’s charge as a replay, and is never paid.',
    instead: 'One key per purchase.',
  },
  {
    mistake: 'The key kept after a decline',
    happens:
      'The decline is stored: the same card gets it again for ever, without being asked; another card is 422 `idempotency_key_reused`.',
    instead: 'After `retry: new_key`, the next attempt of the purchase has the next key.',
  },
  {
    mistake: 'A new key after a 503, a 504 or a broken connection',
    happens:
      'The first attempt may have taken the money, or may take it yet: the customer can pay twice, and nobody can see it. With `order` it is 409 `payment_pending` or `order_already_paid`.',
    instead: 'The same request with the same key, until there is an answer.',
  },
];
