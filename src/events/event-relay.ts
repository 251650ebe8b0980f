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

/** In ms. Larger: webhooks start later. Smaller: batches are smaller and idle CPU grows. */
const POLL: PollPauses = { busyMs: 10, idleMs: 500 };
const FAILED_PAUSE_MS = 1_000;
/** How many of the oldest events one round reads, without those of accounts in flight. */
const CANDIDATES = 200;
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
  /** Accounts in flight. A slow or locked account does not delay the others. When one ends, it may have more events. */
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
      this.log.warn(`events of ${accountId} will be relayed later`, error);
      await delay(FAILED_PAUSE_MS);
    }
  }

  /**
   * If the batch fails, relays each event alone. One that still fails becomes a job, which the queue retries and
   * finally makes a dead letter.
   */
  private async relayOf(accountId: string, ids: string[]): Promise<void> {
    try {
      await this.db.transaction(async (tx) => {
        const jobs: NewJob[] = [];
        for (const event of await markRelayed(tx, accountId, ids))
          jobs.push(...(await this.subscribers.jobsOf(tx, event)));
        await enqueue(tx, jobs);
        // Crash here: no event is relayed and no job enqueued. The next round of any worker does both.
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

/**
 * The oldest events of accounts that are not busy, grouped by account, the oldest first. Covers all accounts, so it
 * takes no locks.
 */
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
 * Marks events as relayed; skips those that another relay has locked. NO KEY UPDATE, because a new row that refers to
 * an event (a resend) locks it FOR KEY SHARE: it must not make the relay skip the event.
 *
 * The ids are there twice, so that the UPDATE, too, finds its rows by the primary key: a plan that was made while the
 * table is empty would read all events of the account.
 */
async function markRelayed(tx: Tx, accountId: string, ids: string[]): Promise<Event[]> {
  return tx.query<Event>(
    `UPDATE events SET relayed_at = now()
     WHERE account_id = $1 AND id = ANY($2) AND id IN (
       SELECT id FROM events WHERE account_id = $1 AND id = ANY($2) AND relayed_at IS NULL FOR NO KEY UPDATE SKIP LOCKED)
     RETURNING ${EVENT_COLUMNS}`,
    [accountId, ids],
  );
}
