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

export class CreateEndpoint {
  @IsString()
  @MaxLength(2048)
  url: string;

  /** Which events it wants; `*` is all of them, those of later versions included. */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(50)
  @ArrayUnique()
  @IsIn([...EVENT_TYPES, '*'], { each: true })
  events: (EventType | '*')[];
}

/** A rotation takes nothing. */
export class NoMembers {}
