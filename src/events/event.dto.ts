import { IsIn } from 'class-validator';
import { Doc } from '../http/description/input-schema.js';
import { ListQuery } from '../http/input/list.js';
import { MayBeAbsent } from '../http/input/validation.js';
import { EVENT_TYPES, type EventType } from './event.entity.js';

export class ListEvents extends ListQuery {
  @Doc('Only those of this type.')
  @MayBeAbsent()
  @IsIn(EVENT_TYPES)
  type?: EventType;
}
