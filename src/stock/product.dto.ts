import { IsInt, Max, Min } from 'class-validator';
import { Doc } from '../http/description/input-schema.js';
import { IsText } from '../http/input/rules.js';
import { MAX_AMOUNT } from '../money/amounts.js';

export class PutProduct {
  @Doc('The name of the product.')
  @IsText(1, 255)
  name: string;

  @Doc(
    'How many there are, including those that are promised to charges that have not ended (`held`).',
  )
  @IsInt()
  @Min(0)
  @Max(MAX_AMOUNT)
  on_hand: number;
}
