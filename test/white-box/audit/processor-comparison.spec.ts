import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  compareWithProcessor,
  PAYMENT_INVARIANTS,
} from '../../../src/audit/processor-comparison.js';
import { deriveId } from '../../../src/idempotency/identity.js';
import { BothLedgers } from './processor-comparison.support.js';

const both = new BothLedgers();
const { change, changeRefund, findings, giveBack, pay } = both;
beforeAll(() => both.open());
beforeEach(() => both.reset());
afterAll(() => both.close());

const found = new Set<string>();
afterEach(async () => {
  for (const { invariant } of await compareWithProcessor(both.db, both.processor))
    found.add(invariant);
});

describe('the comparison with the processor', () => {
  test('finds nothing when both ledgers agree', async () => {
    expect(await findings()).toEqual([]);
  });

  test('finds a payment without a charge', async () => {
    const lost = await pay({ charge: 'ch_never_reserved' });
    expect(await findings()).toEqual([`payment_without_its_charge ${lost}`]);
  });

  test('finds a payment whose charge has failed', async () => {
    const wrong = await pay({ charge: both.ids.failed });
    expect(await findings()).toEqual([`payment_of_a_failed_charge ${wrong}`]);
  });

  test('ignores a late payment of a failed charge if the payment is parked', async () => {
    const late = await pay({ charge: both.ids.failed });
    await both.db.query(
      `INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason)
       VALUES ('${both.ids.account}', '${late}', '${both.ids.failed}', 1200, 'eur', 'succeeded_after_failed')`,
    );
    expect(await findings()).toEqual([]);
    await both.db.query(`UPDATE parked_payments SET resolved_at = now(), resolution = 'honoured'`);
    expect(await findings()).toEqual([]);
  });

  test('finds a charge that was paid twice', async () => {
    await pay();
    expect(await findings()).toEqual([`charge_paid_twice ${both.ids.id}`]);
  });

  test('finds a charge without a payment', async () => {
    await change(`processor_reference = 'pi_invented'`, both.ids.id);
    expect(await findings()).toEqual([`charge_without_its_payment ${both.ids.id}`]);
  });

  test('finds a charge that shows the payment of another', async () => {
    const other = await pay({ charge: both.ids.pending });
    await change(`processor_reference = '${other}'`, both.ids.id);
    expect(await findings()).toEqual([`charge_without_its_payment ${both.ids.id}`]);
  });

  test('finds a charge whose payment was declined', async () => {
    const declined = await pay({}, 'pm_card_visa_chargeDeclined');
    await change(`processor_reference = '${declined}'`, both.ids.id);
    expect(await findings()).toEqual([`charge_without_its_payment ${both.ids.id}`]);
  });

  test('finds another amount', async () => {
    await change('amount = 1300', both.ids.id);
    expect(await findings()).toEqual([`payment_differs_from_its_charge ${both.paymentId}`]);
  });

  test('finds another currency', async () => {
    await change(`currency = 'usd'`, both.ids.id);
    expect(await findings()).toEqual([`payment_differs_from_its_charge ${both.paymentId}`]);
  });

  test('finds nothing while a charge is still to be settled', async () => {
    await pay({ charge: both.ids.pending });
    expect(await findings()).toEqual([]);
  });

  test('finds a charge that is paid and pending after its deadline', async () => {
    const taken = await pay({ charge: both.ids.pending });
    await change(`created_at = now() - interval '1 hour'`, both.ids.pending);
    expect(await findings()).toEqual([`payment_of_a_pending_charge ${taken}`]);
  });

  test('ignores the payments of the naive lane', async () => {
    for (const id of ['ch_naive_1', 'ch_naive_2']) {
      const reference = await pay({ charge: id });
      await both.db.query(
        `INSERT INTO naive_charges (account_id, id, amount, currency, payment_method, processor_reference)
         VALUES ('${both.ids.account}', '${id}', 1200, 'eur', 'pm_card_visa', '${reference}')`,
      );
    }
    expect(await findings()).toEqual([]);
  });

  test('ignores the payments of another installation', async () => {
    await pay({ account: 'acct_elsewhere' });
    expect(await findings()).toEqual([]);
  });

  test('ignores the charges of another processor', async () => {
    await both.db.query(`UPDATE charges SET processor = 'stripe_test'`);
    await both.db.query(`UPDATE refunds SET processor = 'stripe_test'`);
    await both.db.query('TRUNCATE sandbox.payment_intents, sandbox.refunds CASCADE');
    expect(await findings()).toEqual([]);
  });

  test('finds an order that was paid by two charges', async () => {
    for (const charge of [both.ids.id, both.ids.bought]) {
      await both.db.query(
        `UPDATE sandbox.payment_intents SET metadata = metadata || $2::jsonb WHERE metadata ->> 'charge' = $1`,
        [charge, JSON.stringify({ order: both.ids.order })],
      );
    }
    expect(await findings()).toEqual([`order_paid_twice ${both.ids.order}`]);
  });

  test('finds a rebuilt charge whose order does not show it', async () => {
    await change(`rebuilt_at = now(), lost_order_id = 'order-lost'`, both.ids.id);
    expect(await findings()).toEqual([`payment_of_an_order_that_does_not_show_it ${both.ids.id}`]);
  });

  test('finds money that went back without a refund of ours', async () => {
    const lost = await giveBack({ refund: deriveId('re', both.ids.account, 'refund', 'lost') });
    expect(await findings()).toEqual([`paid_refund_without_its_row ${lost}`]);
  });

  test('finds money that went back under another program’s metadata', async () => {
    await giveBack({ refund: 'RMA-17', amount: 300 });
    expect(await findings()).toEqual([`charge_refunded_less_than_its_payment ${both.ids.bought}`]);
  });

  test('finds money that went back in the processor’s dashboard, unless it is booked', async () => {
    const parameters = { payment_intent: both.boughtPayment, amount: 300 };
    const answer = await both.processor.refund('at the desk', JSON.stringify(parameters));
    expect(answer.kind).toBe('succeeded');
    const reference = 'reference' in answer ? answer.reference : null;
    await changeRefund(
      `status = 'succeeded', failure_code = NULL, amount = 300, processor_reference = '${reference}'`,
      both.ids.refundFailed,
    );
    expect(await findings()).toEqual([]);
    await changeRefund(`processor_reference = 're_another'`, both.ids.refundFailed);
    expect(await findings()).toEqual([
      `charge_refunded_less_than_its_payment ${both.ids.bought}`,
      `refund_that_was_never_paid ${both.ids.refundFailed}`,
    ]);
  });

  test('finds a refund that failed at the processor after a success', async () => {
    await both.db.query(
      `UPDATE sandbox.refunds SET status = 'failed', failure_reason = 'expired_or_canceled_card' WHERE id = $1`,
      [both.refundReference],
    );
    expect(await findings()).toEqual([`refund_that_was_never_paid ${both.ids.refund}`]);
  });

  test('finds a refund that went back twice', async () => {
    await giveBack();
    expect(await findings()).toEqual([`refund_paid_twice ${both.ids.refund}`]);
  });

  test('finds a refund that never went back', async () => {
    await changeRefund(`processor_reference = 're_invented'`);
    expect(await findings()).toEqual([`refund_that_was_never_paid ${both.ids.refund}`]);
  });

  test('finds a refund of another amount', async () => {
    await changeRefund('amount = 90');
    expect(await findings()).toEqual([`paid_refund_differs_from_its_row ${both.refundReference}`]);
  });

  test('finds money that went back for a failed refund', async () => {
    const wrong = await giveBack({ refund: both.ids.refundFailed });
    expect(await findings()).toEqual([`paid_refund_differs_from_its_row ${wrong}`]);
  });

  test('finds nothing while a refund is still to be settled', async () => {
    await giveBack({ refund: both.ids.refundPending });
    expect(await findings()).toEqual([]);
  });

  test('finds a refund that is paid and pending after its deadline', async () => {
    const taken = await giveBack({ refund: both.ids.refundPending });
    await changeRefund(`created_at = now() - interval '1 hour'`, both.ids.refundPending);
    expect(await findings()).toEqual([`paid_refund_of_a_pending_refund ${taken}`]);
  });

  test('reads a ledger of more than one page', async () => {
    await Promise.all(Array.from({ length: 105 }, () => pay({ account: 'acct_elsewhere' })));
    expect(await findings()).toEqual([]); // the payments of ours are on the last page
  });

  test('has found each of its invariants broken', () => {
    expect(PAYMENT_INVARIANTS.filter((name) => !found.has(name))).toEqual([]);
  });
});
