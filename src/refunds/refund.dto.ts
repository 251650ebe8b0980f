import { IsInt, Max, Min } from 'class-validator';
import { stepOf } from '../money/currencies.js';
import { Doc } from '../http/description/input-schema.js';
import { validationFailed } from '../http/problems/problem.js';
import { IsText } from '../http/input/rules.js';
import { MAX_AMOUNT } from '../money/amounts.js';
import { MayBeAbsent } from '../http/input/validation.js';

export class CreateRefund {
  @Doc(
    'In the minor unit of the currency. Left out: all that is left, fixed when the refund begins.',
  )
  @MayBeAbsent()
  @IsInt({ message: 'must be an integer, in the minor unit of the currency' })
  @Min(1)
  @Max(MAX_AMOUNT)
  amount?: number;

  @Doc('Why the money goes back; for your own books.')
  @MayBeAbsent()
  @IsText(0, 255)
  reason?: string;
}

/**
 * The amount must be a multiple of the currency's step. The request does not name the currency; the charge does.
 * @throws Problem `validation_failed`
 */
export function refuseUnlessWhole({ currency }: { currency: string }, amount = 0): void {
  const step = stepOf(currency);
  if (amount % step === 0) return;
  const detail = `must be a multiple of ${step} in ${currency}`;
  throw validationFailed([{ pointer: '/amount', detail }]);
}
