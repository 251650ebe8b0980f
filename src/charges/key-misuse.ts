/** A wrong way to use keys, what happens then, and what to do instead. Plain text, with `code` in backticks. */
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
      'Two keys are two purchases. After a lost response the customer pays twice, and no comparison of the ledgers shows it. With `order` the second charge is 409 `order_already_paid`.',
    instead: 'Store the key before you send the first request. Every retry reads it from there.',
  },
  {
    mistake: 'A key from a clock',
    happens:
      'The retry happens a moment later, so it has another key and pays again. Two purchases in the same moment have one key: the second is 422, or gets the first one’s charge and is never paid.',
    instead: 'Name the purchase, not the moment.',
  },
  {
    mistake: 'A key from a price or from the contents of the cart',
    happens:
      'Two customers who buy the same thing have one key: the second gets the first one’s 201 as a replay and pays nothing.',
    instead: 'Name the purchase, not what is in it.',
  },
  {
    mistake: 'A key from a delivery counter of a queue',
    happens: 'Every delivery of the same job creates a new key, and so a new charge.',
    instead:
      'Count the attempts of the purchase in its row: `order_8472_charge_attempt_1` stays the same for every delivery of the job.',
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
      'The decline is stored. The same card always gets it again, and the processor is not asked. Another card is 422 `idempotency_key_reused`.',
    instead: 'After `retry: new_key`, the next attempt of the purchase has the next key.',
  },
  {
    mistake: 'A new key after a 503, a 504 or a broken connection',
    happens:
      'The first attempt may have taken the money, or may still take it. The customer can pay twice, and nothing reveals it. With `order` the second charge is 409 `payment_pending` or `order_already_paid`.',
    instead: 'Send the same request with the same key until you get an answer.',
  },
];
