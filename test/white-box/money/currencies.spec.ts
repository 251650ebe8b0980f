import { describe, expect, test } from '@jest/globals';
import iso from 'currency-codes';
import { CURRENCIES, isCurrency, stepOf } from '../../../src/money/currencies.js';

/** Stripe's zero-decimal currencies, including its special cases for charges. */
const STRIPE_COUNTS_WHOLE_UNITS = 'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf';
const STRIPE_COUNTS_THREE_DECIMALS = 'bhd jod kwd omr tnd';

function decimalsAtStripe(code: string): number {
  if (STRIPE_COUNTS_WHOLE_UNITS.includes(code)) return 0;
  return STRIPE_COUNTS_THREE_DECIMALS.includes(code) ? 3 : 2;
}

describe('the table of currencies', () => {
  test('has only ISO 4217 codes with the same minor unit at Stripe', () => {
    expect(CURRENCIES).toHaveLength(133);
    for (const code of CURRENCIES)
      expect([code, iso.code(code)?.digits]).toEqual([code, decimalsAtStripe(code)]);
  });

  test.each(['isk', 'ugx', 'mga', 'xau', 'xag', 'xdr', 'xts', 'xxx', 'xua', 'clf', 'uyi', 'bov'])(
    'leaves out %s',
    (code) => expect(isCurrency(code)).toBe(false),
  );

  test('has step 10 for currencies with three decimals, and step 1 for all others', () => {
    for (const code of CURRENCIES)
      expect([code, stepOf(code)]).toEqual([code, decimalsAtStripe(code) === 3 ? 10 : 1]);
  });
});
