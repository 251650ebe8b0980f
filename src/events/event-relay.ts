import { setTimeout as delay } from 'node:timers/promises';
import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Database, type Tx } from '../platform/database.js';
import { isPassing } from '../idempotency/errors.js';
import { Loop } from '../idempotency/loop.js';
import { enqueue, JobRegistry, type NewJob } from '../jobs/jobs.js';
import type { Event } from './event.entity.js';
import { EVENT_COLUMNS, EventSubscribers, findEvent } from './events.js';

/** The pause after a run that found events, in ms. Longer delays webhooks; shorter makes smaller batches. */
const BUSY_PAUSE_MS = 10;
/** The pause grows to this while there are no events, in ms. Longer delays the first event; shorter costs idle CPU. */
const IDLE_PAUSE_MS = 200;
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
  private readonly loop = new Loop(EventRelay.name, IDLE_PAUSE_MS, () => this.relay());
  private pauseMs = BUSY_PAUSE_MS;
  private stopping = false;
  /** By account. One that is slow, or that waits for a lock, holds up no other. */
  private readonly running = new Map<string, Promise<void>>();

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
    this.stopping = true;
    await this.loop.stop();
    await Promise.all(this.running.values());
  }

  /** @returns the pause until the next run, in ms. */
  private async relay(): Promise<number> {
    const room = AT_ONCE - this.running.size;
    const busy = [...this.running.keys()];
    const waiting = room > 0 ? await listWaiting(this.db, CANDIDATES, busy) : [];
    for (const { account_id, ids } of this.stopping ? [] : waiting.slice(0, room)) {
      const ended = this.relayOf(account_id, ids.slice(0, BATCH))
        .then(() => this.subscribers.relayed())
        .catch(async (error: unknown) => {
          this.log.warn(`events of ${account_id} are relayed later`, error);
          await delay(FAILED_PAUSE_MS);
        })
        .finally(() => {
          this.running.delete(account_id);
          if (!this.stopping) this.loop.wake(); // more of this account may wait
        });
      this.running.set(account_id, ended);
    }
    this.pauseMs = waiting.length > 0 ? BUSY_PAUSE_MS : Math.min(this.pauseMs * 1.5, IDLE_PAUSE_MS);
    return this.pauseMs;
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
      if (isPassing(error)) throw error;
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
