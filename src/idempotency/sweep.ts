import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Completer } from './completer.js';
import { Loop } from './loop.js';
import type { IdempotencyRecord } from './record.entity.js';
import { UnderWay } from './under-way.js';

/** How often unfinished records are looked for, in ms. Longer delays recovery; shorter is only more queries. */
const INTERVAL_MS = 1_000;
/** How many are worked on at once. Each spends its time waiting for the outside; more would crowd the pool. */
const AT_ONCE = 20;

/**
 * Finishes what crashed or was given back: with or without a retry, every reserved object reaches its end.
 * A plain loop; any number of processes may run it, because each record is claimed by compare-and-set.
 */
@Injectable()
export class Sweep implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly log = new Logger(Sweep.name);
  private readonly underWay = new UnderWay();
  private readonly loop = new Loop(Sweep.name, INTERVAL_MS, () => this.startDue());

  constructor(private readonly completer: Completer) {}

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  /** Lets the attempts that run come to their end. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
    await this.underWay.ended();
  }

  /** Starts what is due. A slow attempt holds up no other: the loop does not wait for any. */
  private async startDue(): Promise<void> {
    const room = AT_ONCE - this.underWay.size;
    if (room === 0) return;
    for (const record of await this.completer.listRecoverable(room)) {
      const name = JSON.stringify([record.account_id, record.key]);
      if (this.loop.isStopped || this.underWay.has(name)) continue;
      this.underWay.start(name, this.resume(record));
    }
  }

  private async resume(record: IdempotencyRecord): Promise<void> {
    try {
      await this.completer.resume(record);
    } catch (error) {
      // Still open: the record carries the time of its next attempt (or its lease runs out).
      this.log.warn(`${record.resource_id} stays open after attempt ${record.attempts + 1}`, error);
    }
  }
}
