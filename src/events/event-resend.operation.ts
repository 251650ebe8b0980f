import { Injectable } from '@nestjs/common';
import { ReserveRaced } from '../idempotency/errors.js';
import {
  OperationRegistry,
  type FoundResource,
  type Operation,
  type Plan,
} from '../idempotency/operation.js';
import { ok } from '../http/answer.js';
import type { Queryable, Tx } from '../database/database.js';
import { objectNotFound } from '../http/problems/problem.js';
import { linkTo } from '../http/resource-link.js';
import { eventToWire, type Event } from './event.entity.js';
import { findEvent } from './events.js';

/** Sends an event again. Outgoing webhooks register one. */
export type Resender = (tx: Tx, event: Event, resendId: string) => Promise<void>;

/**
 * `POST /events/{id}/resend`, in one beat. The row in `event_resends` has the derived id: a late retry of the request
 * does not send again, even after its key has expired.
 */
@Injectable()
export class EventResendOperation implements Operation {
  readonly name = 'POST /events/{id}/resend';
  readonly idPrefix = 'rs';
  private readonly resenders: Resender[] = [];

  constructor(operations: OperationRegistry) {
    operations.register(this);
  }

  onResend(resender: Resender): void {
    this.resenders.push(resender);
  }

  plan(accountId: string, eventId: string): Plan {
    return {
      reserve: async (tx, { id }) => {
        const event = await findEvent(tx, accountId, eventId);
        if (!event) throw objectNotFound('event');
        const inserted = await tx.query(
          `INSERT INTO event_resends (account_id, id, event_id) VALUES ($1, $2, $3)
           ON CONFLICT (account_id, id) DO NOTHING RETURNING id`,
          [accountId, id, eventId],
        );
        if (inserted.length === 0) throw new ReserveRaced();
        for (const resender of this.resenders) await resender(tx, event, id);
        return { answer: ok(eventToWire(event)) };
      },
    };
  }

  async find(db: Queryable, accountId: string, id: string): Promise<FoundResource | undefined> {
    const [row] = await db.query<{ event_id: string; created_at: Date }>(
      `SELECT event_id, created_at FROM event_resends WHERE account_id = $1 AND id = $2`,
      [accountId, id],
    );
    return row && { ...linkTo('event', row.event_id), failed: false, createdAt: row.created_at };
  }
}
