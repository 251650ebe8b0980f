import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Completer } from './completer.js';
import { Loop } from './loop.js';
import type { IdempotencyRecord } from './record.entity.js';
import { InFlight } from './in-flight.js';

/** How often the sweep looks for unfinished records, in ms. Longer delays recovery; shorter only adds queries. */
const INTERVAL_MS = 1_000;
/**
 * How many attempts run at the same time. They mostly wait for the other service. With more, they would wait for
 * connections of the pool.
 */
const MAX_CONCURRENT = 20;

/**
 * Completes records whose attempt crashed or was released: every reserved object becomes final, with or without a
 * retry. Any number of processes may run it, because each record is claimed by compare-and-set.
 */
@Injectable()
export class Sweep implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly log = new Logger(Sweep.name);
  private readonly inFlight = new InFlight();
  private readonly loop = new Loop(Sweep.name, INTERVAL_MS, () => this.startDue());

  constructor(private readonly completer: Completer) {}

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  /** Waits for the attempts in flight. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
    await this.inFlight.ended();
  }

  /** Starts the due attempts and does not wait for them, so a slow attempt does not delay others. */
  private async startDue(): Promise<void> {
    const room = MAX_CONCURRENT - this.inFlight.size;
    if (room === 0) return;
    for (const record of await this.completer.listRecoverable(room)) {
      const name = JSON.stringify([record.account_id, record.key]);
      if (this.loop.isStopped || this.inFlight.has(name)) continue;
      void this.inFlight.start(name, this.resume(record));
    }
  }

  private async resume(record: IdempotencyRecord): Promise<void> {
    try {
      await this.completer.resume(record);
    } catch (error) {
      // Only logged: the record is due again at its next attempt or when its lease ends, unless it is completed.
      const attempt = record.attempts + 1;
      this.log.warn(`Attempt ${attempt} did not complete ${record.resource_id}`, error);
    }
  }
}
