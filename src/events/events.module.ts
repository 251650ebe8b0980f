import { Module } from '@nestjs/common';
import { ListsModule } from '../http/input/list-reads.js';
import { JobsModule } from '../jobs/jobs.module.js';
import { EventRelay } from './event-relay.js';
import { EventResendOperation } from './event-resend.operation.js';
import { EventsController } from './events.controller.js';
import { EventSubscribers } from './events.js';

@Module({
  providers: [EventSubscribers, EventResendOperation],
  exports: [EventSubscribers, EventResendOperation],
})
export class EventsModule {}

/** The routes, in the API only. */
@Module({ imports: [EventsModule, ListsModule], controllers: [EventsController] })
export class EventsHttpModule {}

/** Relays the outbox, in the worker only. */
@Module({ imports: [EventsModule, JobsModule], providers: [EventRelay] })
export class EventsWorkerModule {}
