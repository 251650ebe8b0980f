import { IsIn } from 'class-validator';
import { ListQuery } from '../platform/list.js';
import { MayBeAbsent } from '../platform/validation.js';
import { EVENT_TYPES, type EventType } from './event.entity.js';

export class ListEvents extends ListQuery {
  @MayBeAbsent()
  @IsIn(EVENT_TYPES)
  type?: EventType;
}
