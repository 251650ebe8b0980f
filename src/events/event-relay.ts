import { setTimeout as delay } from 'node:timers/promises';
import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Database, type Tx } from '../database/database.js';
import { isTransient } from '../idempotency/errors.js';
import { Loop, type PollPauses } from '../idempotency/loop.js';
import { InFlight } from '../idempotency/in-flight.js';
import { enqueue, JobRegistry, type NewJob } from '../jobs/jobs.js';
import { EventSubscribers, findEvent } from './events.js';
import type { Event } from './event.entity.js';
import { findNextAccount, markOldestRelayed } from './relay.queries.js';

/** In ms. Larger: webhooks start later. Smaller: batches are smaller and idle CPU grows. */
const POLL: PollPauses = { busyMs: 10, idleMs: 500 };
const FAILED_PAUSE_MS = 1_000;
/** Events of one transaction. Larger: locks are held longer. Smaller: a burst takes more round trips. */
const BATCH = 50;
/** Accounts relayed in parallel. Each uses a connection. */
const AT_ONCE = 3;

const FAN_OUT = 'fan-out-event';

/**
 * Relays the outbox: turns each event into the jobs that follow from it. Finds new events by a partial index, not by a
 * cursor: transactions commit in another order than their events are numbered, so a cursor would skip some. Any number
 * of processes may run it. Proof: test/white-box/effects/relay.spec.ts.
 */
@Injectable()
export class EventRelay implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly log = new Logger(EventRelay.name);
  private readonly loop = new Loop(EventRelay.name, POLL, () => this.relay());
  /** Accounts in flight. A slow or locked account does not delay the others. */
  private readonly inFlight = new InFlight();
  /** The account that had its turn last. The next turn is that of the next account with events. */
  private lastTurn = '';

  constructor(
    private readonly db: Database,
    private readonly subscribers: EventSubscribers,
    jobs: JobRegistry,
  ) {
    jobs.register(FAN_OUT, ({ account, event }) =>
      this.db.transaction((tx) => this.fanOut(tx, String(account), String(event))),
    );
  }

  onApplicationBootstrap(): void {
    this.loop.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
    await this.inFlight.ended();
  }

  /** Gives each account with events a turn, so that the backlog of one does not delay another. */
  private async relay(): Promise<boolean> {
    let started = false;
    for (let turns = 0; turns < AT_ONCE && this.inFlight.size < AT_ONCE; turns++) {
      const accountId = await findNextAccount(this.db, this.lastTurn);
      if (this.loop.isStopped) return false;
      if (accountId === undefined && this.lastTurn === '') break;
      this.lastTurn = accountId ?? '';
      if (accountId === undefined || this.inFlight.has(accountId)) continue;
      started = true;
      void this.inFlight.start(accountId, this.relayAccount(accountId)).then((relayed) => {
        if (relayed > 0) this.loop.wake(); // it may have more
      });
    }
    return started;
  }

  /** @returns how many events were relayed: 0 also if another process has locked them. */
  private async relayAccount(accountId: string): Promise<number> {
    try {
      const relayed = await this.relayBatch(accountId);
      if (relayed > 0) this.subscribers.relayed();
      return relayed;
    } catch (error) {
      this.log.warn(`events of ${accountId} will be relayed later`, error);
      await delay(FAILED_PAUSE_MS);
      return 0;
    }
  }

  private async relayBatch(accountId: string): Promise<number> {
    try {
      return await this.relayOldest(accountId, (tx, event) => this.subscribers.jobsOf(tx, event));
    } catch (error) {
      if (isTransient(error)) throw error;
      // One event fails each batch that it is in. As jobs, the events do not fail together: the queue retries the one
      // that fails, and finally makes it a dead letter.
      this.log.error(`a batch of ${accountId} failed; the queue relays each of its events`, error);
      return this.relayOldest(accountId, async (_tx, { id }) => [
        { job: FAN_OUT, payload: { account: accountId, event: id } },
      ]);
    }
  }

  private relayOldest(
    accountId: string,
    jobsOf: (tx: Tx, event: Event) => Promise<NewJob[]>,
  ): Promise<number> {
    return this.db.transaction(async (tx) => {
      const events = await markOldestRelayed(tx, accountId, BATCH);
      const jobs: NewJob[] = [];
      for (const event of events) jobs.push(...(await jobsOf(tx, event)));
      await enqueue(tx, jobs);
      return events.length;
      // Crash here: no event is relayed and no job enqueued. The next round of any worker does both.
    });
  }

  private async fanOut(tx: Tx, accountId: string, id: string): Promise<void> {
    const event = await findEvent(tx, accountId, id);
    if (!event) throw new Error(`${id} has a job but no event`);
    await enqueue(tx, await this.subscribers.jobsOf(tx, event));
  }
}
