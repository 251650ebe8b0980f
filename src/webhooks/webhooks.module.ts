import { Module, type DynamicModule } from '@nestjs/common';
import { ProcessorNotifications } from './incoming/processor-notifications.js';
import { RefundNotifications } from './incoming/refund-notifications.js';
import { WaitingNotificationsLoop } from './incoming/waiting-notifications.loop.js';
import { addressPolicy } from './outgoing/address-policy.js';
import { ADDRESS_POLICY, Deliveries, LIMITS } from './outgoing/deliveries.js';
import { EndpointOperation, SecretRotationOperation } from './outgoing/endpoint.operations.js';
import { ANSWER_BYTES, type Limits } from './outgoing/sender.js';

/** Webhooks in both directions. */
@Module({})
export class WebhooksModule {
  /**
   * @param options `publicOnly`: deliveries go to public https addresses only; `timeoutMs`: for a receiver's answer.
   * @param background whether this process applies what has been waiting.
   */
  static forRoot(
    { publicOnly, timeoutMs }: { publicOnly: boolean; timeoutMs: number },
    background: boolean,
  ): DynamicModule {
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
        ...(background ? [WaitingNotificationsLoop] : []),
      ],
      exports: [EndpointOperation, SecretRotationOperation, ProcessorNotifications],
    };
  }
}
