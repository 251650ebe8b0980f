import { Module, type DynamicModule } from '@nestjs/common';
import { ProcessorNotifications } from './incoming/processor-notifications.js';
import { RefundNotifications } from './incoming/refund-notifications.js';
import { WaitingNotificationsLoop } from './incoming/waiting-notifications.loop.js';
import { addressPolicy } from './outgoing/address-policy.js';
import { ADDRESS_POLICY, Deliveries, LIMITS } from './outgoing/deliveries.js';
import {
  DELIVERY_LOOP_OPTIONS,
  DeliveryLoop,
  type DeliveryLoopOptions,
} from './outgoing/delivery.loop.js';
import { EndpointOperation, SecretRotationOperation } from './outgoing/endpoint.operations.js';
import { ANSWER_BYTES, type Limits } from './outgoing/sender.js';

/** Webhooks in both directions. */
@Module({})
export class WebhooksModule {
  /**
   * @param options `publicOnly`: deliveries go to public https addresses only; `timeoutMs`: for a receiver's answer.
   * @param stopMs in the background process, which applies waiting notifications and delivers: as `DeliveryLoopOptions`.
   */
  static forRoot(
    options: { publicOnly: boolean; timeoutMs: number; concurrency: number },
    stopMs: number | undefined,
  ): DynamicModule {
    const { publicOnly, timeoutMs, concurrency } = options;
    const limits: Limits = { timeoutMs, answerBytes: ANSWER_BYTES };
    return {
      module: WebhooksModule,
      global: true, // the table of contents mounts the controllers, in the API only
      providers: [
        { provide: ADDRESS_POLICY, useValue: addressPolicy(publicOnly) },
        { provide: LIMITS, useValue: limits },
        Deliveries,
        EndpointOperation,
        SecretRotationOperation,
        ProcessorNotifications,
        RefundNotifications,
        ...(stopMs === undefined
          ? []
          : [
              {
                provide: DELIVERY_LOOP_OPTIONS,
                useValue: { concurrency, stopMs } satisfies DeliveryLoopOptions,
              },
              DeliveryLoop,
              WaitingNotificationsLoop,
            ]),
      ],
      exports: [EndpointOperation, SecretRotationOperation, ProcessorNotifications],
    };
  }
}
