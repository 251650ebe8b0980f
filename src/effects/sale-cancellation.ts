import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { recordEvent } from '../events/events.js';
import { JobRegistry } from '../jobs/jobs.js';
import { orderCanceled } from '../orders/order.events.js';
import { cancelPaidOrder, lockPaidOrder } from '../orders/order.queries.js';
import { Compensation } from '../refunds/compensation.js';
import { releaseStock } from '../stock/stock.js';

export const CANCEL_SALE = 'cancel-sale';

/**
 * The saga of a sale that cannot be delivered: a correction took the stock after it had been promised and paid.
 * The money goes back (once: the refund's cause is unique), then the order is canceled and the rest of its hold is
 * let go. Each step may be repeated; a crash between them is mended by the job's next run.
 * Proof: test/effects/sale-cancellation.spec.ts.
 */
@Injectable()
export class SaleCancellation {
  constructor(
    private readonly dataSource: DataSource,
    private readonly compensation: Compensation,
    jobs: JobRegistry,
  ) {
    jobs.register(CANCEL_SALE, ({ account, order, charge }) =>
      this.cancel(String(account), String(order), String(charge)),
    );
  }

  private async cancel(accountId: string, orderId: string, chargeId: string): Promise<void> {
    await this.compensation.refundOnce(accountId, chargeId, `out_of_stock:${chargeId}`);
    // Dies here: the money is back, the order still says paid; the next run finds the refund ended and goes on.
    await this.dataSource.transaction(async (tx) => {
      const order = await lockPaidOrder(tx, accountId, orderId, chargeId);
      if (!order) return; // done before
      await recordEvent(tx, orderCanceled(await cancelPaidOrder(tx, order)));
      await releaseStock(tx, accountId, chargeId);
    });
  }
}
