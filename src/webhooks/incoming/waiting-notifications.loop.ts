import {
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Loop } from '../../idempotency/loop.js';
import { ProcessorNotifications } from './processor-notifications.js';

/** How often notifications that came before their charge are looked at, in ms. */
const INTERVAL_MS = 2_000;

/** In the background process. Any number of them may run: each notification is locked while it is applied. */
@Injectable()
export class WaitingNotificationsLoop implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly loop: Loop;

  constructor(notifications: ProcessorNotifications) {
    this.loop = new Loop(WaitingNotificationsLoop.name, INTERVAL_MS, () =>
      notifications.applyWaiting(),
    );
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
  }
}
