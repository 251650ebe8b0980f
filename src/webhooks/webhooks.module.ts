import { Module } from '@nestjs/common';
import { ChargesModule } from '../charges/charges.module.js';
import { EventsModule } from '../events/events.module.js';
import { ListsModule } from '../http/input/list-reads.js';
import { ProcessorModule } from '../processor/processor.module.js';
import { RefundsModule } from '../refunds/refunds.module.js';
import { ProcessorNotifications } from './incoming/processor-notifications.js';
import { ProcessorWebhookController } from './incoming/processor-webhook.controller.js';
import { RefundNotifications } from './incoming/refund-notifications.js';
import { WaitingNotificationsLoop } from './incoming/waiting-notifications.loop.js';
import { Deliveries } from './outgoing/deliveries.js';
import { DeliveryLoop } from './outgoing/delivery.loop.js';
import { EndpointOperation, SecretRotationOperation } from './outgoing/endpoint.operations.js';
import { EndpointsController } from './outgoing/endpoints.controller.js';

@Module({
  imports: [ChargesModule, EventsModule, ProcessorModule, RefundsModule],
  providers: [
    Deliveries,
    EndpointOperation,
    SecretRotationOperation,
    ProcessorNotifications,
    RefundNotifications,
  ],
  exports: [Deliveries, EndpointOperation, SecretRotationOperation, ProcessorNotifications],
})
export class WebhooksModule {}

/** The routes, in the API only. */
@Module({
  imports: [WebhooksModule, ListsModule, ProcessorModule],
  controllers: [ProcessorWebhookController, EndpointsController],
})
export class WebhooksHttpModule {}

/** Delivers, and applies the notifications that had to wait; in the worker only. */
@Module({
  imports: [WebhooksModule, EventsModule, ProcessorModule],
  providers: [DeliveryLoop, WaitingNotificationsLoop],
})
export class WebhooksWorkerModule {}
