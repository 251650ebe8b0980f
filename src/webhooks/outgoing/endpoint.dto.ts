import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsIn,
  IsString,
  MaxLength,
} from 'class-validator';
import { EVENT_TYPES, type EventType } from '../../events/event.entity.js';
import { Doc } from '../../http/description/input-schema.js';

export class CreateEndpoint {
  @Doc(
    'Where deliveries are sent: https, and a public address, without blanks or invisible characters.',
  )
  @IsString()
  @MaxLength(2048)
  url: string;

  @Doc('Which events to send; `*` means all, including those of later versions.')
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(50)
  @ArrayUnique()
  @IsIn([...EVENT_TYPES, '*'], { each: true })
  events: (EventType | '*')[];
}
