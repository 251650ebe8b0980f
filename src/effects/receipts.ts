import { Injectable } from '@nestjs/common';
import { EventSubscribers, findEvent } from '../events/events.js';
import type { Event } from '../events/event.entity.js';
import { JobRegistry, type NewJob } from '../jobs/jobs.js';
import { findOrder } from '../orders/order.queries.js';
import { Database, type Queryable, type Tx } from '../database/database.js';
import { MAIL_TIMEOUT_MS, Mailer } from './mailer.js';

const SEND_RECEIPT = 'send-receipt';

/** Longer than the mailer's timeout, in ms. A sender that takes longer counts as dead. */
const LEASE_MS = 30_000;

/**
 * One receipt for a charge. A mail server cannot be asked whether it has a message. After a crash between sending and
 * recording, the choice is to send again (perhaps twice) or not (perhaps never). We send at least once, because a lost
 * receipt is a complaint. The `Message-ID` is derived from the event, so mail programs recognise a second copy. All
 * other steps happen exactly once. Proof: test/white-box/effects/receipts.spec.ts, receipts-interrupted.spec.ts.
 */
@Injectable()
export class Receipts {
  constructor(
    private readonly db: Database,
    private readonly mailer: Mailer,
    events: EventSubscribers,
    jobs: JobRegistry,
  ) {
    events.subscribe((tx, event) => this.consequences(tx, event));
    jobs.register(
      SEND_RECEIPT,
      ({ account, event }, signal) => this.send(String(account), String(event), signal),
      'mail',
    );
  }

  private async consequences(tx: Tx, event: Event): Promise<NewJob[]> {
    if (event.type !== 'charge.succeeded' || !(await recipientOf(tx, event))) return [];
    return [{ job: SEND_RECEIPT, payload: { account: event.account_id, event: event.id } }];
  }

  private async send(accountId: string, eventId: string, stopping: AbortSignal): Promise<void> {
    const { db } = this;
    const event = await findEvent(db, accountId, eventId);
    if (!event) throw new Error(`${eventId} has a job but no event`);
    const to = await recipientOf(db, event);
    if (to === undefined) return;
    const messageId = `<receipt.${event.id}@charge-once.invalid>`;
    const epoch = await claim(db, event, messageId, to);
    if (epoch === 'sent') return;
    if (!(await isLeaseLongEnough(db, event, messageId, epoch)))
      throw new Error(`slept while holding the lease for ${messageId}; the job will be retried`);
    try {
      await this.mailer.send({ messageId, to, ...receiptOf(event) }, stopping);
    } catch (error) {
      // The message may have arrived. Waiting for the lease to expire would not show that, so end the lease now.
      await endLease(db, event, messageId, epoch);
      throw error;
    }
    // Crash here: sent, not recorded. The lease expires, and the same message is sent again under the same Message-ID.
    // A sender whose lease was taken over also records its success: the mail server accepted a copy.
    await db.query(
      `UPDATE sent_emails SET sent_at = now(), lease_expires_at = NULL
       WHERE account_id = $1 AND message_id = $2 AND sent_at IS NULL`,
      [accountId, messageId],
    );
  }
}

function receiptOf({ data }: Event): { subject: string; text: string } {
  const { id, amount, currency } = data.object as { id: string; amount: number; currency: string };
  return {
    subject: `Receipt for ${id}`,
    text: `You paid ${amount} ${currency} (in the minor unit of the currency).\nCharge: ${id}\n`,
  };
}

async function recipientOf(
  db: Queryable,
  { account_id, data }: Event,
): Promise<string | undefined> {
  const { receipt_email, order } = data.object as {
    receipt_email: string | null;
    order: string | null;
  };
  if (receipt_email !== null) return receipt_email;
  if (order === null) return undefined;
  const bought = await findOrder(db, account_id, order);
  if (!bought) throw new Error(`the order ${order}, which has the recipient, is gone`);
  return bought.email ?? undefined;
}

/**
 * Takes a lease for sending a message.
 * @returns the epoch of the lease, or `sent`.
 * @throws Error while another process holds the lease: the job is retried.
 */
async function claim(
  db: Database,
  event: Event,
  messageId: string,
  recipient: string,
): Promise<number | 'sent'> {
  const first = await db.query<{ epoch: number }>(
    `INSERT INTO sent_emails (account_id, message_id, event_id, recipient, epoch, lease_expires_at)
     VALUES ($1, $2, $3, $4, 1, now() + $5 * interval '1 millisecond')
     ON CONFLICT DO NOTHING RETURNING epoch`,
    [event.account_id, messageId, event.id, recipient, LEASE_MS],
  );
  if (first[0]) return first[0].epoch;
  const next = await db.query<{ epoch: number }>(
    `UPDATE sent_emails SET epoch = epoch + 1, lease_expires_at = now() + $3 * interval '1 millisecond'
     WHERE account_id = $1 AND message_id = $2 AND sent_at IS NULL AND lease_expires_at <= now()
     RETURNING epoch`,
    [event.account_id, messageId, LEASE_MS],
  );
  if (next[0]) return next[0].epoch;
  const [held] = await db.query<{ sent: boolean }>(
    `SELECT sent_at IS NOT NULL AS sent FROM sent_emails WHERE account_id = $1 AND message_id = $2`,
    [event.account_id, messageId],
  );
  if (held?.sent) return 'sent';
  throw new Error(`another process holds the lease for ${messageId}; the job will be retried`);
}

/** Whether the lease lasts longer than sending can take. False for a process that was suspended after its claim. */
async function isLeaseLongEnough(
  db: Database,
  { account_id }: Event,
  messageId: string,
  epoch: number,
): Promise<boolean> {
  const rows = await db.query(
    `SELECT 1 FROM sent_emails WHERE account_id = $1 AND message_id = $2 AND epoch = $3 AND sent_at IS NULL
       AND lease_expires_at >= clock_timestamp() + $4 * interval '1 millisecond'`,
    [account_id, messageId, epoch, MAIL_TIMEOUT_MS],
  );
  return rows.length > 0;
}

/** Ends the lease after a failed attempt, so that the next attempt need not wait until it expires. */
async function endLease(
  db: Database,
  event: Event,
  messageId: string,
  epoch: number,
): Promise<void> {
  await db.query(
    `UPDATE sent_emails SET lease_expires_at = now()
     WHERE account_id = $1 AND message_id = $2 AND epoch = $3 AND sent_at IS NULL`,
    [event.account_id, messageId, epoch],
  );
}
