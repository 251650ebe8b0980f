import { IsEmail, IsIn, IsInt, Matches, Max, Min, ValidateIf } from 'class-validator';
import { Doc, Variants } from '../http/description/input-schema.js';
import { ListQuery } from '../http/input/list.js';
import { CLIENT_ID, IsIsoTime, IsText } from '../http/input/rules.js';
import { IsMetadata, MayBeAbsent } from '../http/input/validation.js';
import { FitsCurrency, IsCurrency, MAX_AMOUNT } from '../money/amounts.js';
import { CHARGE_STATES, type ChargeStatus } from './charge.entity.js';

/** Optional for a charge that pays an order: the order gives amount and currency. */
const UnlessOrdered = () =>
  ValidateIf((dto: CreateCharge, value) => value !== undefined || dto.order === undefined);

@Variants({ ChargeOfAmount: ['amount', 'currency'], ChargeForOrder: ['order'] })
export class CreateCharge {
  @Doc(
    'In the minor unit of the currency: 1999 is 19.99 USD. In a currency of three decimals (BHD, JOD, KWD, OMR, TND) it ends in 0. With `order` it may be left out.',
  )
  @UnlessOrdered()
  @IsInt({ message: 'must be an integer, in the minor unit of the currency' })
  @Min(1)
  @Max(MAX_AMOUNT)
  @FitsCurrency()
  amount?: number;

  @UnlessOrdered()
  @IsCurrency()
  currency?: string;

  @Doc('How to pay; Stripe’s own test names work: `pm_card_visa`.')
  @IsText(1, 255)
  payment_method: string;

  @Doc('Shown to the customer by the processor.')
  @MayBeAbsent()
  @IsText(0, 1000)
  description?: string;

  @Doc('The e-mail address for the receipt.')
  @MayBeAbsent()
  @IsEmail()
  receipt_email?: string;

  @Doc(
    'The order that this charge pays. Recommended: an order takes one payment, whatever the key.',
  )
  @MayBeAbsent()
  @Matches(CLIENT_ID, { message: 'must be an order id: 1 to 64 letters, digits, _ or -' })
  order?: string;

  @MayBeAbsent()
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class ListCharges extends ListQuery {
  @Doc('Only those in this state.')
  @MayBeAbsent()
  @IsIn(Object.keys(CHARGE_STATES))
  status?: ChargeStatus;

  @Doc('Only those for this order.')
  @MayBeAbsent()
  @Matches(CLIENT_ID, { message: 'must be an order id' })
  order?: string;

  @Doc('Made at this time or later. Without an offset it is UTC.')
  @MayBeAbsent()
  @IsIsoTime()
  'created[gte]'?: string;

  @Doc('Made before this time.')
  @MayBeAbsent()
  @IsIsoTime()
  'created[lt]'?: string;
}
