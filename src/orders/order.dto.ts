import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsEmail,
  IsInt,
  Matches,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import { IsCurrency, MAX_AMOUNT } from '../money/amounts.js';
import { stepOf } from '../money/currencies.js';
import { Doc } from '../http/description/input-schema.js';
import { CLIENT_ID } from '../http/input/rules.js';
import { validationFailed } from '../http/problems/problem.js';
import { ElementsOf, IsMetadata, MayBeAbsent } from '../http/input/validation.js';
import type { OrderContent } from './order.entity.js';
import { totalOf } from './order.queries.js';

export const MAX_ITEMS = 100;
export const MAX_QUANTITY = 10_000;

export class PutOrderItem {
  @Doc('Your article number. The stock of a sku without a product is not tracked.')
  @Matches(CLIENT_ID, { message: 'must be 1 to 64 letters, digits, _ or -' })
  sku: string;

  @Doc('How many.')
  @IsInt()
  @Min(1)
  @Max(MAX_QUANTITY)
  quantity: number;

  @Doc('The price of one, in the minor unit of the currency.')
  @IsInt({ message: 'must be an integer, in the minor unit of the currency' })
  @Min(0)
  @Max(MAX_AMOUNT)
  unit_amount: number;
}

/** The whole order, for PUT and POST. */
export class PutOrder {
  @IsCurrency()
  currency: string;

  @Doc('What is sold. Quantities times unit amounts add up to 1 to 99 999 999.')
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(MAX_ITEMS)
  @ElementsOf(PutOrderItem)
  @ValidateNested({ each: true })
  items: PutOrderItem[];

  @Doc('Of the customer.')
  @MayBeAbsent()
  @IsEmail()
  email?: string;

  @MayBeAbsent()
  @IsMetadata()
  metadata?: Record<string, string>;
}

/**
 * Normalises the content: absent members become `null` or empty.
 * @throws Problem `validation_failed` if the total is not a valid amount.
 */
export function contentOf({ currency, items, email, metadata }: PutOrder): OrderContent {
  const total = totalOf({ items });
  if (total < 1 || total > MAX_AMOUNT) {
    throw validationFailed([
      { pointer: '/items', detail: `must add up to 1 to ${MAX_AMOUNT}, not ${total}` },
    ]);
  }
  if (total % stepOf(currency) !== 0) {
    const detail = `must add up to a multiple of ${stepOf(currency)} in ${currency}, not ${total}`;
    throw validationFailed([{ pointer: '/items', detail }]);
  }
  return {
    currency,
    // Normalises JSON's -0 to 0. Otherwise `isDeepStrictEqual` would see a changed order.
    items: items.map(({ sku, quantity, unit_amount }) => ({
      sku,
      quantity,
      unit_amount: unit_amount + 0,
    })),
    email: email ?? null,
    metadata: metadata ?? {},
  };
}
