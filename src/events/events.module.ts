import { Module, type DynamicModule } from '@nestjs/common';
import { EventRelay } from './event-relay.js';
import { EventResendOperation } from './event-resend.operation.js';
import { EventSubscribers } from './events.js';

@Module({})
export class EventsModule {
  /**
   * Global, because effects and webhooks of every kind subscribe.
   * @param relays whether this process relays the outbox.
   */
  static forRoot(relays: boolean): DynamicModule {
    return {
      module: EventsModule,
      global: true,
      providers: [EventSubscribers, EventResendOperation, ...(relays ? [EventRelay] : [])],
      exports: [EventSubscribers, EventResendOperation],
    };
  }
}
