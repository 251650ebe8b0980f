import { IsInt, IsString, Max, MaxLength, Min } from 'class-validator';
import { MAX_AMOUNT } from '../platform/rules.js';
import { MayBeAbsent } from '../platform/validation.js';

export class CreateRefund {
  /** Absent means all that is left, fixed when the refund is reserved. */
  @MayBeAbsent()
  @IsInt({ message: 'must be an integer, in the minor unit of the currency' })
  @Min(1)
  @Max(MAX_AMOUNT)
  amount?: number;

  @MayBeAbsent()
  @IsString()
  @MaxLength(255)
  reason?: string;
}
