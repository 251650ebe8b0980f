import type { DataSource } from 'typeorm';
import { findOrder, holdOrder } from '../orders/order.queries.js';
import type { Tx } from '../platform/database.js';
import type { Payment, Processor } from '../processor/processor.js';
import { holdStock } from '../stock/stock.js';
import { insertPendingCharge } from './charge.queries.js';
import { settleCharge } from './settle-charge.js';

/** A succeeded payment that names one of our charges. */
export type OurPayment = Payment & { charge: string; account: string };

/** `without order`: the charge is there, but its order could not take it. */
export type Rebuilt = 'exists' | 'rebuilt' | 'rebuilt without its order';

class OrderCannotTakeIt extends Error {}

/**
 * Makes the row of a charge that was lost (a restore from an older backup, a failover that lost commits) from what the
 * processor took, under its own id: from then on a late retry of its key finds it and cannot charge again. What follows
 * from a charge follows from this one, too; who has had it before knows it by the same names.
 */
export async function rebuildCharge(
  dataSource: DataSource,
  processor: Processor,
  payment: OurPayment,
): Promise<Rebuilt> {
  try {
    return await dataSource.transaction((tx) => rebuild(tx, processor, payment, payment.order));
  } catch (error) {
    if (!(error instanceof OrderCannotTakeIt)) throw error;
    // The money was taken whatever became of the order: better a charge alone than none.
    const rebuilt = await dataSource.transaction((tx) =>
      rebuild(tx, processor, payment, undefined),
    );
    return rebuilt === 'rebuilt' ? 'rebuilt without its order' : rebuilt;
  }
}

async function rebuild(
  tx: Tx,
  processor: Processor,
  payment: OurPayment,
  orderId: string | undefined,
): Promise<Rebuilt> {
  const { account: accountId, charge: id, amount, currency, description } = payment;
  const order = orderId === undefined ? undefined : await findOrder(tx, accountId, orderId);
  if (orderId !== undefined && (order?.total !== amount || order.currency !== currency))
    throw new OrderCannotTakeIt();
  const paymentMethod = payment.paymentMethod ?? 'unknown';
  const charge = await insertPendingCharge(tx, {
    account_id: accountId,
    id,
    amount,
    currency,
    payment_method: paymentMethod,
    description,
    receipt_email: null,
    order_id: order?.id ?? null,
    metadata: {},
    processor: processor.name,
    processor_parameters: processor.prepare({
      amount,
      currency,
      payment_method: paymentMethod,
      ...(description !== null && { description }),
      metadata: {
        charge: id,
        account: accountId,
        ...(payment.order !== undefined && { order: payment.order }),
      },
    }),
    rebuiltFrom: payment.createdAt,
  });
  if (!charge) {
    // By its id, or by the order's other live charge.
    if (order && !(await exists(tx, accountId, id))) throw new OrderCannotTakeIt();
    return 'exists';
  }
  if (order) {
    if (!(await holdOrder(tx, order, id))) throw new OrderCannotTakeIt();
    const short = await holdStock(tx, accountId, id, order.items);
    if (short.length > 0) throw new OrderCannotTakeIt();
  }
  const end = { status: 'succeeded', reference: payment.reference } as const;
  await settleCharge(tx, end, { accountId, id });
  return 'rebuilt';
}

async function exists(tx: Tx, accountId: string, id: string): Promise<boolean> {
  const rows: unknown[] = await tx.query(
    `SELECT 1 FROM charges WHERE account_id = $1 AND id = $2`,
    [accountId, id],
  );
  return rows.length > 0;
}
