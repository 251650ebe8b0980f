import { IsInt, Max, Min } from 'class-validator';
import { IsText } from '../http/input/rules.js';
import { MAX_AMOUNT } from '../money/amounts.js';

export class PutProduct {
  @IsText(1, 255)
  name: string;

  @IsInt()
  @Min(0)
  @Max(MAX_AMOUNT)
  on_hand: number;
}
