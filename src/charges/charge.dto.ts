import { IsEmail, IsIn, IsInt, Matches, Max, Min, ValidateIf } from 'class-validator';
import { ListQuery } from '../http/input/list.js';
import { CLIENT_ID, IsIsoTime, IsText } from '../http/input/rules.js';
import { IsMetadata, MayBeAbsent } from '../http/input/validation.js';
import { FitsCurrency, IsCurrency, MAX_AMOUNT } from '../money/amounts.js';
import { CHARGE_STATES, type ChargeStatus } from './charge.states.js';

/** Optional for a charge that pays an order: the order gives amount and currency. */
const UnlessOrdered = () =>
  ValidateIf((dto: CreateCharge, value) => value !== undefined || dto.order === undefined);

export class CreateCharge {
  @UnlessOrdered()
  @IsInt({ message: 'must be an integer, in the minor unit of the currency' })
  @Min(1)
  @Max(MAX_AMOUNT)
  @FitsCurrency()
  amount?: number;

  @UnlessOrdered()
  @IsCurrency()
  currency?: string;

  @IsText(1, 255)
  payment_method: string;

  @MayBeAbsent()
  @IsText(0, 1000)
  description?: string;

  @MayBeAbsent()
  @IsEmail()
  receipt_email?: string;

  @MayBeAbsent()
  @Matches(CLIENT_ID, { message: 'must be an order id: 1 to 64 letters, digits, _ or -' })
  order?: string;

  @MayBeAbsent()
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class ListCharges extends ListQuery {
  @MayBeAbsent()
  @IsIn(Object.keys(CHARGE_STATES))
  status?: ChargeStatus;

  @MayBeAbsent()
  @Matches(CLIENT_ID, { message: 'must be an order id' })
  order?: string;

  @MayBeAbsent()
  @IsIsoTime()
  'created[gte]'?: string;

  @MayBeAbsent()
  @IsIsoTime()
  'created[lt]'?: string;
}
