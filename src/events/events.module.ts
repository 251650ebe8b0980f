import { Global, Module } from '@nestjs/common';
import { EventResendOperation } from './event-resend.operation.js';
import { EventSubscribers } from './events.js';

/** Global, because effects and webhooks of every kind subscribe. */
@Global()
@Module({
  providers: [EventSubscribers, EventResendOperation],
  exports: [EventSubscribers, EventResendOperation],
})
export class EventsModule {}
