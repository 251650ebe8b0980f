import { IsInt, IsString, Length, Max, Min } from 'class-validator';
import { MAX_AMOUNT } from '../platform/rules.js';

export class PutProduct {
  @IsString()
  @Length(1, 255)
  name: string;

  @IsInt()
  @Min(0)
  @Max(MAX_AMOUNT)
  on_hand: number;
}
