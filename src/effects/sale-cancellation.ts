import { Injectable } from '@nestjs/common';
import { recordEvent } from '../events/events.js';
import { enqueue, JobRegistry, type Payload } from '../jobs/jobs.js';
import { orderEvent } from '../orders/order.entity.js';
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

export function saleOf({ account, order, charge }: Payload): Sale {
  return { accountId: String(account), orderId: String(order), chargeId: String(charge) };
}

/**
 * The saga of a sale that cannot be delivered: a correction reduced the stock below what was held and paid for.
 *
 * 1. The job that finds this records the decision. After that the order is not shipped, even if stock arrives and the
 *    shipping job runs again.
 * 2. The refund is made once, because its cause is unique. If the processor refuses it because an operator has refunded
 *    the charge there, the saga continues. After another refusal an operator fixes the reason and retries the job.
 * 3. The order is canceled and the rest of its hold is released.
 *
 * Each step may be repeated; after a crash the next run of the job continues. Proof:
 * test/white-box/effects/sale-cancellation.spec.ts, refused-refunds.spec.ts.
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
      (payload, _signal, attempt) => this.cancel(saleOf(payload), attempt === 1),
      'processor',
    );
  }

  private async cancel({ accountId, orderId, chargeId }: Sale, askAgain: boolean): Promise<void> {
    await this.compensation.refundOnce(accountId, chargeId, `out_of_stock:${chargeId}`, askAgain);
    // Crash here: the money is back, the order still says paid. The next run finds the refund ended and continues.
    await this.db.transaction(async (tx) => {
      const order = await lockSoldOrder(tx, accountId, orderId, chargeId);
      if (order.status === 'canceled') return; // already done
      const canceled = await cancelPaidOrder(tx, order);
      await recordEvent(tx, orderEvent('order.canceled', canceled));
      await releaseStock(tx, accountId, chargeId);
    });
  }
}

/** The first step, in the transaction that found the stock missing. The caller holds the order's lock. */
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

/** The caller holds the order's lock. */
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
