import { describe, expect, test } from '@jest/globals';
import iso from 'currency-codes';
import { CURRENCIES, isCurrency, stepOf } from '../../../src/money/currencies.js';

/** What Stripe's page calls zero-decimal, its special cases for charges included. */
const STRIPE_COUNTS_WHOLE_UNITS = 'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf';
const STRIPE_COUNTS_THREE_DECIMALS = 'bhd jod kwd omr tnd';

function decimalsAtStripe(code: string): number {
  if (STRIPE_COUNTS_WHOLE_UNITS.includes(code)) return 0;
  return STRIPE_COUNTS_THREE_DECIMALS.includes(code) ? 3 : 2;
}

describe('the table of currencies', () => {
  test('has codes of ISO 4217 only, whose minor unit is the same at Stripe', () => {
    expect(CURRENCIES).toHaveLength(133);
    for (const code of CURRENCIES)
      expect([code, iso.code(code)?.digits]).toEqual([code, decimalsAtStripe(code)]);
  });

  test.each(['isk', 'ugx', 'mga', 'xau', 'xag', 'xdr', 'xts', 'xxx', 'xua', 'clf', 'uyi', 'bov'])(
    'leaves out %s',
    (code) => expect(isCurrency(code)).toBe(false),
  );

  test('moves in steps of ten where there are three decimals, and of one elsewhere', () => {
    for (const code of CURRENCIES)
      expect([code, stepOf(code)]).toEqual([code, decimalsAtStripe(code) === 3 ? 10 : 1]);
  });
});
