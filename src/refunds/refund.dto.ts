import { IsInt, Max, Min } from 'class-validator';
import { IsText, MAX_AMOUNT } from '../platform/rules.js';
import { MayBeAbsent } from '../platform/validation.js';

export class CreateRefund {
  /** Absent means all that is left, fixed when the refund is reserved. */
  @MayBeAbsent()
  @IsInt({ message: 'must be an integer, in the minor unit of the currency' })
  @Min(1)
  @Max(MAX_AMOUNT)
  amount?: number;

  @MayBeAbsent()
  @IsText(0, 255)
  reason?: string;
}
