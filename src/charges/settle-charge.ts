import { recordEvent, type NewEvent } from '../events/events.js';
import type { Answer, Intent, Settlement } from '../idempotency/operation.js';
import { orderEvent } from '../orders/order.entity.js';
import { endHold } from '../orders/order.queries.js';
import { created, problemAnswer } from '../http/answer.js';
import type { Tx } from '../database/database.js';
import { Problem } from '../http/problems/problem.js';
import { releaseStock } from '../stock/stock.js';
import { chargeToWire, type Charge } from './charge.entity.js';
import { CHARGE_FAILED, cardDeclined } from './charge.problems.js';
import { endCharge, endedCharge, writeChargeEnd, type PaymentEnd } from './charge.queries.js';
import type { Ending } from './abandon.js';
import { linkTo } from '../http/resource-link.js';

/** The third beat of a charge: a single statement, unless the charge pays an order. */
export function settlementOf(charge: Charge, end: PaymentEnd, intent: Intent): Settlement {
  if (charge.order_id !== null) {
    return {
      settle: async (tx) => chargeAnswer(await settleCharge(tx, end, intent), intent.requestId),
    };
  }
  const ended = endedCharge(charge, end);
  return {
    answer: chargeAnswer(ended, intent.requestId),
    write: writeChargeEnd(end, endOfCharge(ended)),
  };
}

/** Changes charge, order, stock and events together. Throws if the charge is not pending. */
export async function settleCharge(
  tx: Tx,
  end: PaymentEnd,
  { accountId, id }: Pick<Intent, 'accountId' | 'id'>,
): Promise<Charge> {
  const charge = await endCharge(tx, accountId, id, end);
  await recordEvent(tx, endOfCharge(charge));
  if (charge.order_id !== null) {
    const paid = charge.status === 'succeeded';
    const order = await endHold(tx, accountId, charge.order_id, id, paid);
    if (paid) await recordEvent(tx, orderEvent('order.paid', order));
    else await releaseStock(tx, accountId, id);
  }
  return charge;
}

function endOfCharge(charge: Charge): NewEvent {
  const type = charge.status === 'succeeded' ? 'charge.succeeded' : 'charge.failed';
  return { type, cause: charge, object: chargeToWire(charge) };
}

/** The end of a charge or refund for an answer of the processor; undefined if the answer is not final. */
export function endOf(answer: Ending): PaymentEnd | undefined {
  switch (answer.kind) {
    case 'succeeded':
      return { status: 'succeeded', reference: answer.reference };
    case 'declined': {
      const { code, declineCode, reference } = answer;
      return { status: 'failed', failureCode: code, declineCode, reference };
    }
    case 'rejected': {
      const { failureCode, reference } = answer;
      return { status: 'failed', failureCode, declineCode: null, reference };
    }
    case 'abandoned':
      return { status: 'failed', failureCode: 'abandoned', declineCode: null, reference: null };
    case 'refused':
    case 'unknown':
      return undefined;
  }
}

/** The stored answer of an ended charge, from its row alone. */
export function chargeAnswer(charge: Charge, requestId: string): Answer {
  if (charge.status === 'succeeded')
    return created(linkTo('charge', charge.id).url, chargeToWire(charge));
  const problem =
    charge.decline_code !== null
      ? cardDeclined(charge.decline_code, charge.id)
      : new Problem(CHARGE_FAILED, `The charge failed: ${charge.failure_code}.`, {
          extensions: { failure_code: charge.failure_code, charge: charge.id },
        });
  return problemAnswer(problem, requestId);
}
