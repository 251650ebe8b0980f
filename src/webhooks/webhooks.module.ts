import { Module, type DynamicModule } from '@nestjs/common';
import { ProcessorNotifications } from './incoming/processor-notifications.js';
import { RefundNotifications } from './incoming/refund-notifications.js';
import { WaitingNotificationsLoop } from './incoming/waiting-notifications.loop.js';
import { addressPolicy } from './outgoing/address-policy.js';
import { ADDRESS_POLICY, Deliveries } from './outgoing/deliveries.js';
import { EndpointOperation, SecretRotationOperation } from './outgoing/endpoint.operations.js';

/** Webhooks in both directions. */
@Module({})
export class WebhooksModule {
  /**
   * @param publicOnly whether deliveries go to public https addresses only.
   * @param background whether this process applies what has been waiting.
   */
  static forRoot(publicOnly: boolean, background: boolean): DynamicModule {
    return {
      module: WebhooksModule,
      global: true, // the table of contents mounts the controllers, in the API only
      providers: [
        { provide: ADDRESS_POLICY, useValue: addressPolicy(publicOnly) },
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
