import { Injectable } from '@nestjs/common';
import { recordEvent } from '../events/events.js';
import { enqueue, JobRegistry } from '../jobs/jobs.js';
import { orderCanceled } from '../orders/order.events.js';
import { cancelPaidOrder, lockSoldOrder } from '../orders/order.queries.js';
import { Database, type Tx } from '../database/database.js';
import { Compensation } from '../refunds/compensation.js';
import { releaseStock } from '../stock/stock.js';

const CANCEL_SALE = 'cancel-sale';

/** A sale, by the order and the charge that paid it. */
export interface Sale {
  accountId: string;
  orderId: string;
  chargeId: string;
}

/**
 * The saga of a sale that cannot be delivered: a correction took the stock after it had been promised and paid.
 * 1. The decision is written down, by whoever finds out: from here on the order is not shipped, also if the stock
 *    comes back meanwhile and the job that ships is run once more.
 * 2. The money goes back, once: the refund's cause is unique. If the processor refuses that, because a person has given
 *    it back there, the saga goes on; if for another reason, a person who has mended that sets the job going again.
 * 3. The order is canceled and the rest of its hold is let go.
 * Each step may be repeated; a crash between them is mended by the job's next run.
 * Proof: test/white-box/effects/sale-cancellation.spec.ts.
 */
@Injectable()
export class SaleCancellation {
  constructor(
    private readonly db: Database,
    private readonly compensation: Compensation,
    jobs: JobRegistry,
  ) {
    jobs.register(
      CANCEL_SALE,
      ({ account, order, charge }, _signal, attempt) => {
        const sale = {
          accountId: String(account),
          orderId: String(order),
          chargeId: String(charge),
        };
        return this.cancel(sale, attempt === 1);
      },
      'processor',
    );
  }

  private async cancel({ accountId, orderId, chargeId }: Sale, askAgain: boolean): Promise<void> {
    await this.compensation.refundOnce(accountId, chargeId, `out_of_stock:${chargeId}`, askAgain);
    // Dies here: the money is back, the order still says paid; the next run finds the refund ended and goes on.
    await this.db.transaction(async (tx) => {
      const order = await lockSoldOrder(tx, accountId, orderId, chargeId);
      if (order.status === 'canceled') return; // done before
      await recordEvent(tx, orderCanceled(await cancelPaidOrder(tx, order)));
      await releaseStock(tx, accountId, chargeId);
    });
  }
}

/** The first step, in the transaction that found the sale impossible. The order is locked. */
export async function decideCancellation(
  tx: Tx,
  { accountId, orderId, chargeId }: Sale,
): Promise<void> {
  const decided = await tx.query(
    `INSERT INTO sale_cancellations (account_id, order_id, charge_id, reason) VALUES ($1, $2, $3, 'out_of_stock')
     ON CONFLICT DO NOTHING RETURNING order_id`,
    [accountId, orderId, chargeId],
  );
  if (decided.length === 0) return;
  const payload = { account: accountId, order: orderId, charge: chargeId };
  await enqueue(tx, [{ job: CANCEL_SALE, payload }]);
}

/** Whether that was decided before. The order is locked. */
export async function isCancellationDecided(
  tx: Tx,
  { accountId, orderId }: Sale,
): Promise<boolean> {
  const rows = await tx.query(
    `SELECT 1 FROM sale_cancellations WHERE account_id = $1 AND order_id = $2`,
    [accountId, orderId],
  );
  return rows.length > 0;
}
