import { Injectable } from '@nestjs/common';
import type { Queryable, Tx } from '../database/database.js';
import { deriveId } from '../idempotency/identity.js';
import type { NewJob } from '../jobs/jobs.js';
import type { Event, EventType } from './event.entity.js';

export const EVENT_COLUMNS = 'account_id, id, type, cause, data, created_at';

export interface NewEvent {
  type: EventType;
  /** The row that caused it. One cause and type make one event, however often it is recorded. */
  cause: { account_id: string; id: string };
  object: object;
}

/**
 * Writes the event in the caller's transaction: it exists if and only if that commits. The row is the outbox; the relay
 * finds it (event-relay.ts). A transaction that moves money therefore enqueues no job and notifies no process.
 */
export async function recordEvent(tx: Tx, event: NewEvent): Promise<void> {
  await tx.query(`WITH object AS (SELECT $5::text AS account_id) ${insertEvents('object', 1)}`, [
    ...eventValues(event),
    event.cause.account_id,
  ]);
}

/** The INSERT as part of a larger statement: one event for each row of `source`, in that row's account. */
export function insertEvents(source: string, firstParameter: number): string {
  const [id, type, cause, data] = [0, 1, 2, 3].map((offset) => `$${firstParameter + offset}`);
  return `INSERT INTO events (account_id, id, type, cause, data)
    SELECT account_id, ${id}, ${type}, ${cause}, ${data}::json FROM ${source}
    ON CONFLICT (account_id, id) DO NOTHING`;
}

export function eventValues({ type, cause, object }: NewEvent): string[] {
  const id = deriveId('evt', cause.account_id, type, cause.id);
  return [id, type, cause.id, JSON.stringify({ object })];
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

/** Returns the jobs that follow from an event. Runs in a transaction, may write its own tables, and may run again. */
export type Subscriber = (tx: Tx, event: Event) => Promise<NewJob[]>;

/** Effects and webhooks subscribe here, so that charges and orders do not depend on them. */
@Injectable()
export class EventSubscribers {
  private readonly subscribers: Subscriber[] = [];
  private readonly listeners: (() => void)[] = [];

  subscribe(subscriber: Subscriber): void {
    this.subscribers.push(subscriber);
  }

  /** @param listener called after the relay has committed. */
  onRelayed(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** Wakes the loops that poll rows written by subscribers. */
  relayed(): void {
    for (const listener of this.listeners) listener();
  }

  /** May return the same jobs when it runs again: each effect is identified by its cause and happens once. */
  async jobsOf(tx: Tx, event: Event): Promise<NewJob[]> {
    const jobs: NewJob[] = [];
    for (const subscriber of this.subscribers) jobs.push(...(await subscriber(tx, event)));
    return jobs;
  }
}
