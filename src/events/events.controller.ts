import { Body, Controller, Get, Param, Post, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { accountIdOf } from '../accounts/auth.guard.js';
import { Idempotent } from '../idempotency/idempotent.interceptor.js';
import type { Plan } from '../idempotency/operation.js';
import { NoMembers, OptionalBody } from '../http/input/body.guard.js';
import { Database } from '../database/database.js';
import { Answers, Describe, Problems, Tagged } from '../http/description/route.js';
import { listOf } from '../http/description/schema.js';
import { page, type List } from '../http/input/list.js';
import { ListReads } from '../http/input/list-reads.js';
import { objectNotFound } from '../http/problems/problem.js';
import { eventToWire, type EventWire } from './event.entity.js';
import { EVENT } from './event.schema.js';
import { EventResendOperation } from './event-resend.operation.js';
import { ListEvents } from './event.dto.js';
import { EVENT_COLUMNS, findEvent } from './events.js';
import { NOT_FOUND } from '../idempotency/problem-types.js';

@Tagged('Events')
@Controller('events')
export class EventsController {
  constructor(
    private readonly db: Database,
    private readonly lists: ListReads,
    private readonly resends: EventResendOperation,
  ) {}

  @Get()
  @Describe('listEvents', 'List events, newest first')
  @Answers(200, 'A page.', listOf(EVENT, '/events'))
  async list(@Req() request: Request, @Query() query: ListEvents): Promise<List<EventWire>> {
    return page(this.lists, accountIdOf(request), query, {
      table: 'events',
      columns: EVENT_COLUMNS,
      where: query.type === undefined ? [] : ['type = $2'],
      values: query.type === undefined ? [] : [query.type],
      url: '/events',
      toWire: eventToWire,
    });
  }

  @Get(':id')
  @Describe('getEvent', 'Get an event', {
    path: { id: 'The event’s id; `webhook-id` of its deliveries.' },
  })
  @Answers(200, 'The event.', EVENT)
  @Problems(NOT_FOUND)
  async find(@Req() request: Request, @Param('id') id: string): Promise<EventWire> {
    const event = await findEvent(this.db, accountIdOf(request), id);
    if (!event) throw objectNotFound('event');
    return eventToWire(event);
  }

  @Post(':id/resend')
  @Idempotent()
  @OptionalBody()
  @Describe('resendEvent', 'Deliver an event again, once for each key', {
    description: 'To every endpoint that wants it, under the same `webhook-id`.',
    path: { id: 'The event’s id.' },
    examples: { nothing: {} },
  })
  @Answers(200, 'The deliveries are scheduled.', EVENT)
  @Problems(NOT_FOUND)
  async resend(
    @Req() request: Request,
    @Param('id') id: string,
    @Body() _body: NoMembers,
  ): Promise<Plan> {
    return this.resends.plan(accountIdOf(request), id);
  }
}
