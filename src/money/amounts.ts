import { ValidateBy } from 'class-validator';
import { CURRENCIES, isCurrency, stepOf } from './currencies.js';

/** The largest amount, in minor units: Stripe's limit. */
export const MAX_AMOUNT = 99_999_999;

export const amountSchema = { type: 'integer', minimum: 1, maximum: MAX_AMOUNT } as const;
export const currencySchema = { type: 'string', pattern: '^[a-z]{3}$' } as const;

const CURRENCY_DESCRIPTION =
  'A lower-case ISO 4217 code. Not every one: the processor must take the currency, and count it in ISO 4217’s minor unit (it does not for ISK, MGA and UGX).';

/** A lower-case ISO 4217 code of a currency that the processor accepts and counts in the minor unit of ISO 4217. */
export function IsCurrency(): PropertyDecorator {
  return ValidateBy({
    name: 'isCurrency',
    constraints: [CURRENCIES, CURRENCY_DESCRIPTION],
    validator: {
      validate: isCurrency,
      defaultMessage: () =>
        'must be the lower-case ISO 4217 code of a currency that the processor takes',
    },
  });
}

/** An amount that the processor accepts in the `currency` of the same body. */
export function FitsCurrency(): PropertyDecorator {
  return ValidateBy({
    name: 'fitsCurrency',
    validator: {
      validate: (value, args) => {
        const { currency } = (args?.object ?? {}) as { currency?: unknown };
        return Number(value) % stepOf(currency) === 0;
      },
      defaultMessage: () => 'must end in 0 in this currency of three decimals',
    },
  });
}
