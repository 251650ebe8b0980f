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
import type { Event } from './event.entity.js';
import { EVENT_COLUMNS, EventSubscribers, findEvent } from './events.js';

/** Longer delays webhooks; shorter makes smaller batches, and costs idle CPU. */
const POLL: PollPauses = { busyMs: 10, idleMs: 200 };
const FAILED_PAUSE_MS = 1_000;
/** How many of the oldest events a run looks at; accounts that are under way are left out. */
const CANDIDATES = 200;
/** Events of one transaction. Larger, and it holds its locks longer; smaller, and a burst takes more round trips. */
const BATCH = 50;
/** Accounts that are relayed side by side. Each takes a connection. */
const AT_ONCE = 3;

const FAN_OUT = 'fan-out-event';

/**
 * Relays the outbox: turns each event into the jobs of its consequences. It reads events that are not relayed yet by a
 * partial index, never by a cursor, because transactions commit in another order than their events are numbered.
 * Any number of processes may run it. Proof: test/white-box/effects/relay.spec.ts.
 */
@Injectable()
export class EventRelay implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly log = new Logger(EventRelay.name);
  private readonly loop = new Loop(EventRelay.name, POLL, () => this.relay());
  /** Accounts: one that is slow, or that waits for a lock, holds up no other. When one has ended, more of it may wait. */
  private readonly inFlight = new InFlight(() => this.loop.wake());

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

  /** @returns whether there are events. */
  private async relay(): Promise<boolean> {
    const room = AT_ONCE - this.inFlight.size;
    if (room === 0) return false;
    const waiting = await listWaiting(this.db, CANDIDATES, this.inFlight.names());
    if (this.loop.isStopped) return false;
    for (const { account_id, ids } of waiting.slice(0, room))
      this.inFlight.start(account_id, this.relayAccount(account_id, ids.slice(0, BATCH)));
    return waiting.length > 0;
  }

  private async relayAccount(accountId: string, ids: string[]): Promise<void> {
    try {
      await this.relayOf(accountId, ids);
      this.subscribers.relayed();
    } catch (error) {
      this.log.warn(`events of ${accountId} are relayed later`, error);
      await delay(FAILED_PAUSE_MS);
    }
  }

  /** An event whose fan-out fails holds up no other: the queue retries it, and finally makes it a dead letter. */
  private async relayOf(accountId: string, ids: string[]): Promise<void> {
    try {
      await this.db.transaction(async (tx) => {
        const jobs: NewJob[] = [];
        for (const event of await markRelayed(tx, accountId, ids))
          jobs.push(...(await this.subscribers.jobsOf(tx, event)));
        await enqueue(tx, jobs);
        // Dies here: nothing is relayed and nothing is enqueued; the next run of any worker does both.
      });
    } catch (error) {
      if (isTransient(error)) throw error;
      if (ids.length > 1) {
        for (const id of ids) await this.relayOf(accountId, [id]);
        return;
      }
      this.log.error(`${ids[0]} cannot be relayed; the queue retries it`, error);
      await this.db.transaction(async (tx) => {
        for (const { account_id, id } of await markRelayed(tx, accountId, ids))
          await enqueue(tx, [{ job: FAN_OUT, payload: { account: account_id, event: id } }]);
      });
    }
  }

  private async fanOut(tx: Tx, accountId: string, id: string): Promise<void> {
    const event = await findEvent(tx, accountId, id);
    if (!event) throw new Error(`${id} has a job but no event`);
    await enqueue(tx, await this.subscribers.jobsOf(tx, event));
  }
}

/** Candidates, oldest first; across accounts, so without locks. The account of the oldest event comes first. */
async function listWaiting(db: Database, limit: number, busy: readonly string[]) {
  return db.query<{ account_id: string; ids: string[] }>(
    `SELECT account_id, array_agg(id ORDER BY created_at) AS ids
     FROM (SELECT account_id, id, created_at FROM events
       WHERE relayed_at IS NULL AND account_id <> ALL($2) ORDER BY created_at LIMIT $1) AS waiting
     GROUP BY account_id ORDER BY min(created_at)`,
    [limit, busy],
  );
}

/**
 * Of two relays, one gets an event; the other passes over it. NO KEY: a row that refers to the event, of a resend for
 * example, holds up no relay.
 */
async function markRelayed(tx: Tx, accountId: string, ids: string[]): Promise<Event[]> {
  return tx.query<Event>(
    `UPDATE events SET relayed_at = now()
     WHERE account_id = $1 AND id IN (
       SELECT id FROM events WHERE account_id = $1 AND id = ANY($2) AND relayed_at IS NULL FOR NO KEY UPDATE SKIP LOCKED)
     RETURNING ${EVENT_COLUMNS}`,
    [accountId, ids],
  );
}
