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

  /** The subscribed events; `*` means all, including those of later versions. */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(50)
  @ArrayUnique()
  @IsIn([...EVENT_TYPES, '*'], { each: true })
  events: (EventType | '*')[];
}

/** A rotation has an empty body. */
export class NoMembers {}
