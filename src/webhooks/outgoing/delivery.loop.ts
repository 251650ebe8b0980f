import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { EventSubscribers } from '../../events/events.js';
import { Database } from '../../platform/database.js';
import { Loop } from '../../idempotency/loop.js';
import { Shares } from '../../platform/shares.js';
import { Deliveries } from './deliveries.js';
import { listDueDeliveries } from './delivery.queries.js';

export interface DeliveryLoopOptions {
  /** How many deliveries this process makes at once. One that waits for its receiver holds no connection. */
  concurrency: number;
  /** How long deliveries may continue after the process was told to stop, in ms; then they are cut short. */
  stopMs: number;
}

export const DELIVERY_LOOP_OPTIONS = Symbol('DELIVERY_LOOP_OPTIONS');

/** The pause while there are deliveries, in ms. Longer leaves slots empty; shorter is only more queries. */
const BUSY_PAUSE_MS = 10;
/** The pause grows to this while nothing is due, in ms. Longer delays a delivery; shorter costs idle CPU. */
const IDLE_PAUSE_MS = 200;
const FAILED_PAUSE_MS = 1_000;
/**
 * The list passes over the backlog of those that have their share, and takes longer the longer that is. It may take this
 * part of the time.
 */
const PART_FOR_LISTING = 0.1;

/**
 * Makes the deliveries that are due. The row is the schedule: `next_attempt_at` says when, and whoever moves it into the
 * future makes the attempt, so that any number of processes may run this loop.
 */
@Injectable()
export class DeliveryLoop
  implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown
{
  private readonly log = new Logger(DeliveryLoop.name);
  private readonly loop = new Loop(DeliveryLoop.name, IDLE_PAUSE_MS, () => this.startDue());
  private readonly stopping = new AbortController();
  private readonly running = new Map<string, Promise<void>>();
  private readonly shares: Shares;
  private pauseMs = BUSY_PAUSE_MS;
  private stopped: Promise<void> | undefined;

  constructor(
    private readonly db: Database,
    private readonly deliveries: Deliveries,
    events: EventSubscribers,
    @Inject(DELIVERY_LOOP_OPTIONS) private readonly options: DeliveryLoopOptions,
  ) {
    this.shares = new Shares(options.concurrency);
    setMaxListeners(0, this.stopping.signal); // each delivery listens while it lasts
    events.onRelayed(() => this.loop.wake());
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  /** Before the other modules wait for what they have under way: `stopMs` begins here, and no delivery begins any more. */
  onModuleDestroy(): void {
    this.stopped ??= this.stop();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.stopped;
  }

  private async stop(): Promise<void> {
    const cut = setTimeout(() => this.stopping.abort(), this.options.stopMs);
    await this.loop.stop();
    await Promise.all(this.running.values());
    clearTimeout(cut);
  }

  /** @returns the pause until the next run, in ms. */
  private async startDue(): Promise<number> {
    const room = this.options.concurrency - this.running.size;
    const began = performance.now();
    const due = room > 0 ? await listDueDeliveries(this.db, room, this.shares.full()) : [];
    const listMs = performance.now() - began;
    for (const { account_id, id, endpoint_id } of this.stopped ? [] : due) {
      const leave = this.running.has(id) ? undefined : this.shares.take([account_id, endpoint_id]);
      if (!leave) continue;
      const ended = this.deliveries
        .deliver(account_id, id, this.stopping.signal)
        .catch(async (error: unknown) => {
          this.log.warn(`${id} is tried again`, error);
          await delay(FAILED_PAUSE_MS); // in its slot: what fails before its attempt is due at once again
        })
        .finally(() => {
          this.running.delete(id);
          leave();
        });
      this.running.set(id, ended);
    }
    this.pauseMs = due.length > 0 ? BUSY_PAUSE_MS : Math.min(this.pauseMs * 1.5, IDLE_PAUSE_MS);
    return Math.max(this.pauseMs, listMs / PART_FOR_LISTING);
  }
}
