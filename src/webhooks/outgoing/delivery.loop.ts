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
import { Database } from '../../database/database.js';
import { Loop, type PollPauses } from '../../idempotency/loop.js';
import { InFlight } from '../../idempotency/in-flight.js';
import { Shares } from '../../http/shares.js';
import { Deliveries } from './deliveries.js';
import { listDueDeliveries } from './delivery.queries.js';

export interface DeliveryLoopOptions {
  /** How many deliveries this process makes in parallel. Waiting for a receiver holds no database connection. */
  concurrency: number;
  /** How long deliveries may run after the process is asked to stop, in ms. Then they are interrupted. */
  stopMs: number;
}

export const DELIVERY_LOOP_OPTIONS = Symbol('DELIVERY_LOOP_OPTIONS');

/** In ms. Larger: deliveries start later and slots stay empty. Smaller: more queries. */
const POLL: PollPauses = { busyMs: 10, idleMs: 200 };
const FAILED_PAUSE_MS = 1_000;

/**
 * Makes the deliveries that are due. The row is the schedule: the process that moves `next_attempt_at` into the future
 * makes the attempt. Any number of processes may run this loop.
 */
@Injectable()
export class DeliveryLoop
  implements OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown
{
  private readonly log = new Logger(DeliveryLoop.name);
  private readonly loop = new Loop(DeliveryLoop.name, POLL, () => this.startDue());
  private readonly stopping = new AbortController();
  private readonly inFlight = new InFlight();
  private readonly shares: Shares;
  private stopped: Promise<void> | undefined;

  constructor(
    private readonly db: Database,
    private readonly deliveries: Deliveries,
    events: EventSubscribers,
    @Inject(DELIVERY_LOOP_OPTIONS) private readonly options: DeliveryLoopOptions,
  ) {
    this.shares = new Shares(options.concurrency);
    setMaxListeners(0, this.stopping.signal); // each running delivery listens
    events.onRelayed(() => this.loop.wake());
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  /** Runs before other modules wait for their work in flight: `stopMs` starts here, and no new delivery starts. */
  onModuleDestroy(): void {
    this.stopped ??= this.stop();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.stopped;
  }

  private async stop(): Promise<void> {
    const cut = setTimeout(() => this.stopping.abort(), this.options.stopMs);
    await this.loop.stop();
    await this.inFlight.ended();
    clearTimeout(cut);
  }

  private async startDue(): Promise<boolean> {
    const room = this.options.concurrency - this.inFlight.size;
    if (room === 0) return false;
    const due = await listDueDeliveries(this.db, room, this.shares.full());
    if (this.loop.isStopped) return false;
    let started = false;
    for (const { account_id, id, endpoint_id } of due) {
      const leave = this.inFlight.has(id) ? undefined : this.shares.take([account_id, endpoint_id]);
      if (!leave) continue;
      started = true;
      void this.inFlight.start(id, this.deliver(account_id, id).finally(leave));
    }
    return started;
  }

  private async deliver(accountId: string, id: string): Promise<void> {
    try {
      await this.deliveries.deliver(accountId, id, this.stopping.signal);
    } catch (error) {
      this.log.warn(`${id} will be retried`, error);
      await delay(FAILED_PAUSE_MS); // keeps its slot: after a failure before the attempt, the delivery is still due
    }
  }
}
