import type { Charge } from '../charges/charge.entity.js';
import { findCharge } from '../charges/charge.queries.js';
import { parkUnlessAccountedFor } from '../charges/parked-payments.js';
import {
  OrderCannotTakeIt,
  payLostOrder,
  rebuildCharge,
  type OrderRelation,
  type OurPayment,
} from '../charges/rebuild-charge.js';
import type { Database, Tx } from '../database/database.js';
import type { PaidRefund, Processor } from '../processor/processor.js';
import { rebuildRefund, RefundUndecided, type OurRefund } from '../refunds/rebuild-refund.js';
import { importRefund, type RefundRepair } from '../refunds/refunds-at-processor.js';

/** What was repaired, including the order if there is one. */
export type Repair =
  | 'charge_rebuilt'
  | 'charge_rebuilt_without_its_order'
  | 'order_of_a_rebuilt_charge_paid'
  | 'payment_of_a_failed_charge_parked'
  | RefundRepair['what'];

/** Records a repair in the transaction that makes it. */
export type Note = (tx: Tx, repair: Repair) => Promise<void>;

/** Books one succeeded payment. Safe to repeat, to run in two processes in parallel, and to kill at any point. */
export async function repairPayment(
  db: Database,
  processor: Processor,
  payment: OurPayment,
  note: Note,
  /** Whether the whole payment was refunded later. Then the order is not shipped again. */
  returned: boolean,
): Promise<void> {
  const charge = await findCharge(db, payment.account, payment.charge);
  if (charge?.status === 'pending' || (await isHandledElsewhere(db, payment))) return;
  if (charge?.status === 'failed') {
    await db.transaction(async (tx) => {
      if (await parkUnlessAccountedFor(tx, charge, payment.reference))
        await note(tx, 'payment_of_a_failed_charge_parked');
    });
    return;
  }
  try {
    await db.transaction(async (tx) => {
      if (charge) {
        if (await payLostOrder(tx, payment)) await note(tx, 'order_of_a_rebuilt_charge_paid');
        return;
      }
      const relation = relationOf(payment, returned);
      if (await rebuildCharge(tx, processor, payment, relation))
        await note(
          tx,
          relation === 'guarded' ? 'charge_rebuilt_without_its_order' : 'charge_rebuilt',
        );
    });
  } catch (error) {
    if (!(error instanceof OrderCannotTakeIt)) throw error;
    if (!charge) await rebuildAlone(db, processor, payment, note);
  }
}

function relationOf({ order }: OurPayment, returned: boolean): OrderRelation {
  if (order === undefined) return 'none';
  return returned ? 'guarded' : 'paid';
}

/** The money was taken: a charge without its order is better than none. */
async function rebuildAlone(
  db: Database,
  processor: Processor,
  payment: OurPayment,
  note: Note,
): Promise<void> {
  await db.transaction(async (tx) => {
    let rebuilt = await rebuildCharge(tx, processor, payment, 'guarded');
    if (!rebuilt) {
      // The order has another live charge. If that is pending, the order may become free again, and this charge must
      // then guard it: the next run decides. If it has succeeded, the order was paid twice.
      if (await isHeld(tx, payment)) return;
      rebuilt = await rebuildCharge(tx, processor, payment, 'none');
    }
    if (rebuilt) await note(tx, 'charge_rebuilt_without_its_order');
  });
}

async function isHeld(tx: Tx, { account, order }: OurPayment): Promise<boolean> {
  const rows = await tx.query(
    `SELECT 1 FROM charges WHERE account_id = $1 AND order_id = $2 AND status = 'pending'`,
    [account, order],
  );
  return rows.length > 0;
}

export async function repairRefund(
  db: Database,
  processor: Processor,
  refund: OurRefund,
  note: Note,
): Promise<void> {
  await db.transaction(async (tx) => {
    if (await rebuildRefund(tx, processor, refund)) await note(tx, 'refund_rebuilt');
  });
}

/**
 * Books one refund that is found by its payment: it has none of our refund ids, or it failed. If it may be one of our
 * pending refunds, it waits for the next run; until that run the comparison reports it.
 */
export async function repairRefundOfPayment(
  db: Database,
  processor: Processor,
  charge: Pick<Charge, 'account_id' | 'id'>,
  paid: PaidRefund,
  noteOf: (id: string) => Note,
): Promise<void> {
  try {
    await db.transaction(async (tx) => {
      const repair = await importRefund(tx, processor, charge, paid);
      if (repair) await noteOf(repair.id)(tx, repair.what);
    });
  } catch (error) {
    if (!(error instanceof RefundUndecided)) throw error;
  }
}

/** An operator handles parked payments, and the lab's naive lane has its own rows. */
async function isHandledElsewhere(db: Database, { account, reference }: OurPayment) {
  const rows = await db.query(
    `SELECT 1 FROM parked_payments WHERE account_id = $1 AND processor_reference = $2
     UNION ALL SELECT 1 FROM naive_charges WHERE account_id = $1 AND processor_reference = $2`,
    [account, reference],
  );
  return rows.length > 0;
}
