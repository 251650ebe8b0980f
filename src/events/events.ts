import { Injectable } from '@nestjs/common';
import { deriveId } from '../idempotency/identity.js';
import { addJob, enqueue, JobRegistry, type NewJob } from '../jobs/jobs.js';
import { Database, type Queryable, type Tx } from '../platform/database.js';
import type { Event, EventType } from './event.entity.js';

export const EVENT_COLUMNS = 'account_id, id, type, cause, data, created_at';

/** What has happened, and to what: told in the transaction in which it happens. */
export interface Happening {
  accountId: string;
  type: EventType;
  /** The id of the cause. The same cause and type are the same event, however often it is told. */
  cause: string;
  /** The object as the API shows it now. */
  object: object;
}

const FAN_OUT = 'fan-out-event';

const RECORD = `WITH event AS (
    INSERT INTO events (account_id, id, type, cause, data) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (account_id, id) DO NOTHING RETURNING account_id, id
  ) SELECT 1 FROM event, ${addJob({
    name: `'${FAN_OUT}'`,
    payload: `json_build_object('account', event.account_id, 'event', event.id)`,
    key: 'event.id',
  })}`;

/**
 * Writes the event and the job that tells everybody about it, in the caller's transaction: both exist if and only if
 * what they tell of has been committed. (The outbox pattern: no message leaves before, none is lost after.)
 */
export async function recordEvent(
  tx: Tx,
  { accountId, type, cause, object }: Happening,
): Promise<void> {
  const id = deriveId('evt', accountId, type, cause);
  await tx.query(RECORD, [accountId, id, type, cause, JSON.stringify({ object })]);
}

export async function findEvent(
  db: Queryable,
  accountId: string,
  id: string,
): Promise<Event | undefined> {
  const rows = await db.query<Event>(
    `SELECT ${EVENT_COLUMNS} FROM events WHERE account_id = $1 AND id = $2`,
    [accountId, id],
  );
  return rows[0];
}

/** Says what follows from an event. Runs in a transaction and may write to its own tables; may run again. */
export type Subscriber = (tx: Tx, event: Event) => Promise<NewJob[]>;

/** Who follows up on events: effects and webhooks subscribe, so that what happens need not know what follows. */
@Injectable()
export class EventSubscribers {
  private readonly subscribers: Subscriber[] = [];

  constructor(
    private readonly db: Database,
    jobs: JobRegistry,
  ) {
    jobs.register(FAN_OUT, ({ account, event }) => this.fanOut(String(account), String(event)));
  }

  subscribe(subscriber: Subscriber): void {
    this.subscribers.push(subscriber);
  }

  /**
   * Adds the job of every consequence, all in one transaction. A crash before its commit repeats it, a repeat after it
   * adds jobs twice: each effect knows its own cause and does its work once.
   */
  private async fanOut(accountId: string, eventId: string): Promise<void> {
    await this.db.transaction(async (tx) => {
      const event = await findEvent(tx, accountId, eventId);
      if (!event) throw new Error(`${eventId} has a job but no event`);
      for (const subscriber of this.subscribers) {
        for (const job of await subscriber(tx, event)) await enqueue(tx, job);
      }
    });
  }
}
