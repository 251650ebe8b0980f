import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { deriveId } from '../../../src/idempotency/identity.js';
import { BothLedgers } from './processor-comparison.support.js';

/** The processor's dashboard can change or copy our metadata. The references still identify the rows. */
const both = new BothLedgers();
const { change, changeRefund, findings, giveBack } = both;
beforeAll(() => both.open());
beforeEach(() => both.reset());
afterAll(() => both.close());

describe('the comparison with the processor', () => {
  describe.each<[string, Record<string, string | null>]>([
    ['removed', { refund: null, charge: null, account: null }],
    ['replaced by another program’s', { refund: 'RMA-17', charge: 'order_5' }],
    ['removed in part', { account: null }],
  ])('when our metadata was %s in the processor’s dashboard,', (_how, names) => {
    beforeEach(async () => {
      // With the same amount it could be the refund that lost its metadata.
      await changeRefund('amount = 40', both.ids.refundPending);
      for (const [table, reference] of [
        ['payment_intents', both.paymentId],
        ['refunds', both.refundReference],
      ])
        await both.db.query(
          `UPDATE sandbox.${table} SET metadata = jsonb_strip_nulls(metadata || $2::jsonb) WHERE id = $1`,
          [reference, JSON.stringify(names)],
        );
    });

    test('finds nothing: the references identify the rows', async () => {
      expect(await findings()).toEqual([]);
    });

    test('finds another amount of the payment', async () => {
      await change('amount = 1300', both.ids.id);
      expect(await findings()).toEqual([`payment_differs_from_its_charge ${both.paymentId}`]);
    });

    test('finds another amount of the refund', async () => {
      await changeRefund('amount = 90');
      expect(await findings()).toEqual([
        `charge_refunded_less_than_its_payment ${both.ids.bought}`,
      ]);
    });

    test('finds money that was taken for a failed charge, and money that went back for a failed refund', async () => {
      await change(`status = 'failed', failure_code = 'card_declined'`, both.ids.id);
      await changeRefund(`status = 'failed', failure_code = 'charge_disputed'`);
      expect(await findings()).toEqual([
        `charge_refunded_less_than_its_payment ${both.ids.bought}`,
        `payment_of_a_failed_charge ${both.paymentId}`,
      ]);
    });
  });

  test('accepts a booked refund from the dashboard whose metadata names our charge but no account', async () => {
    const id = deriveId('re', both.ids.account, 'refund', 'copied');
    const reference = await giveBack({ refund: id });
    await both.db.query(
      `UPDATE sandbox.refunds SET metadata = metadata - 'account' WHERE id = $1`,
      [reference],
    );
    await changeRefund(
      `status = 'succeeded', failure_code = NULL, processor_reference = '${reference}'`,
      both.ids.refundFailed,
    );
    expect(await findings()).toEqual([]);
  });
});
