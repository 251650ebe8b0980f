import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { EventSubscribers, recordEvent } from '../events/events.js';
import type { Event } from '../events/event.entity.js';
import { deriveId } from '../idempotency/identity.js';
import { enqueue, JobRegistry } from '../jobs/jobs.js';
import { lockSoldOrder, setFulfillment } from '../orders/order.queries.js';
import { Database } from '../database/database.js';
import { bookStock } from '../stock/stock.js';
import {
  FULFILLMENT_STEPS,
  fulfillmentToWire,
  type Fulfillment,
  type FulfillmentStep,
} from './fulfillment.entity.js';
import {
  decideCancellation,
  isCancellationDecided,
  saleOf,
  type Sale,
} from './sale-cancellation.js';

const FULFILL_ORDER = 'fulfill-order';
const ADVANCE_FULFILLMENT = 'advance-fulfillment';
const COLUMNS = 'account_id, id, order_id, charge_id, step, tracking_number, created_at';

/** Ships a paid order once: books the stock, creates one shipment, and runs its steps in order. */
@Injectable()
export class Fulfillments {
  constructor(
    private readonly db: Database,
    events: EventSubscribers,
    jobs: JobRegistry,
  ) {
    events.subscribe(async (_tx, event) => consequences(event));
    jobs.register(FULFILL_ORDER, (payload) => this.fulfill(saleOf(payload)));
    jobs.register(ADVANCE_FULFILLMENT, ({ account, fulfillment }) =>
      this.advance(String(account), String(fulfillment)),
    );
  }

  /** Books the stock and creates the shipment, both or neither. The order's lock admits one worker at a time. */
  private async fulfill(sale: Sale): Promise<void> {
    const { accountId, orderId, chargeId } = sale;
    await this.db.transaction(async (tx) => {
      const order = await lockSoldOrder(tx, accountId, orderId, chargeId);
      if (order.status === 'canceled' || (await isCancellationDecided(tx, sale))) return;
      if (!(await bookStock(tx, accountId, chargeId))) return decideCancellation(tx, sale);
      const id = deriveId('ful', accountId, 'fulfillment', orderId);
      const [made] = await tx.query<Fulfillment>(
        `INSERT INTO fulfillments (account_id, id, order_id, charge_id, step) VALUES ($1, $2, $3, $4, 'picking')
         ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`,
        [accountId, id, orderId, chargeId],
      );
      if (!made) return; // repeated: an order has one shipment
      await setFulfillment(tx, order, id);
      const object = fulfillmentToWire(made);
      await recordEvent(tx, { type: 'fulfillment.created', cause: made, object });
      await enqueue(tx, [
        { job: ADVANCE_FULFILLMENT, payload: { account: accountId, fulfillment: id } },
      ]);
    });
  }

  private async advance(accountId: string, id: string): Promise<void> {
    const { db } = this;
    const there = await db.query('SELECT 1 FROM fulfillments WHERE account_id = $1 AND id = $2', [
      accountId,
      id,
    ]);
    if (there.length === 0) throw new Error(`${id} has a job but no row`);
    await advanceFrom(db, accountId, id, 'picking');
    // Crash here: the next run finds the label and continues.
    await advanceFrom(db, accountId, id, 'labelled');
  }
}

function consequences({ type, account_id, data }: Event) {
  if (type !== 'order.paid') return [];
  const { id, charge } = data.object as { id: string; charge: string };
  return [{ job: FULFILL_ORDER, payload: { account: account_id, order: id, charge } }];
}

/** Compare-and-set: a repeated step changes nothing. */
async function advanceFrom(
  db: Database,
  accountId: string,
  id: string,
  step: FulfillmentStep,
): Promise<void> {
  await db.query(
    `UPDATE fulfillments SET step = $4, tracking_number = $5, updated_at = now()
     WHERE account_id = $1 AND id = $2 AND step = $3`,
    [accountId, id, step, FULFILLMENT_STEPS[step], orderLabel(id)],
  );
}

/** Simulates a carrier: the label is ordered under our id, so a repeated order gets the same label. */
function orderLabel(fulfillmentId: string): string {
  return `TRACK-${createHash('sha256').update(fulfillmentId).digest('hex').slice(0, 12).toUpperCase()}`;
}
