import { IsIn } from 'class-validator';
import { ListQuery } from '../http/input/list.js';
import { MayBeAbsent } from '../http/input/validation.js';
import { EVENT_TYPES, type EventType } from './event.entity.js';

export class ListEvents extends ListQuery {
  @MayBeAbsent()
  @IsIn(EVENT_TYPES)
  type?: EventType;
}
