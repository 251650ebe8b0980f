import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Database, type Tx } from '../platform/database.js';
import { isConnectionLost, isPassing } from '../idempotency/errors.js';
import { Loop } from '../idempotency/loop.js';
import { enqueue, JobRegistry } from '../jobs/jobs.js';
import type { Event } from './event.entity.js';
import { EVENT_COLUMNS, EventSubscribers, findEvent } from './events.js';

/** The pause after a run that found events, in ms. Longer delays webhooks; shorter makes smaller batches. */
const BUSY_PAUSE_MS = 10;
/** The pause grows to this while there are no events, in ms. Longer delays the first event; shorter costs idle CPU. */
const IDLE_PAUSE_MS = 200;
/** Larger, and one transaction holds its locks longer; smaller, and a burst takes more round trips. */
const BATCH = 200;

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
  }

  /** @returns the pause until the next run, in ms. */
  private async relay(): Promise<number> {
    const waiting = await listWaiting(this.db, BATCH);
    for (const { account_id, ids } of waiting) {
      await this.relayOf(account_id, ids).catch((error: unknown) => {
        if (isConnectionLost(error)) throw error;
        this.log.warn(`events of ${account_id} are relayed later`, error);
      });
      this.subscribers.relayed();
    }
    this.pauseMs = waiting.length > 0 ? BUSY_PAUSE_MS : Math.min(this.pauseMs * 1.5, IDLE_PAUSE_MS);
    return this.pauseMs;
  }

  /** An event whose fan-out fails holds up no other: the queue retries it, and finally makes it a dead letter. */
  private async relayOf(accountId: string, ids: string[]): Promise<void> {
    try {
      await this.db.transaction(async (tx) => {
        const events = await markRelayed(tx, accountId, ids);
        for (const event of events) await this.enqueueJobsOf(tx, event);
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
    await this.enqueueJobsOf(tx, event);
  }

  private async enqueueJobsOf(tx: Tx, event: Event): Promise<void> {
    await enqueue(tx, await this.subscribers.jobsOf(tx, event));
  }
}

/** Candidates, oldest first; across accounts, so without locks. */
async function listWaiting(db: Database, limit: number) {
  return db.query<{ account_id: string; ids: string[] }>(
    `SELECT account_id, array_agg(id) AS ids
     FROM (SELECT account_id, id FROM events WHERE relayed_at IS NULL ORDER BY created_at LIMIT $1) AS waiting
     GROUP BY account_id`,
    [limit],
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
