import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  compareWithProcessor,
  PAYMENT_INVARIANTS,
} from '../../../src/audit/processor-comparison.js';
import { deriveId } from '../../../src/idempotency/identity.js';
import type { Database } from '../../../src/database/database.js';
import { StripeProcessor } from '../../../src/processor/stripe-processor.js';
import { startSandbox, type Sandbox } from '../../../src/sandbox/sandbox.server.js';
import { openFreshDatabase, type OpenDatabase } from '../../support/open-database.js';
import { writeCleanBooks, type Ids } from '../../audit/clean-books.js';

let database: OpenDatabase;
let db: Database;
let sandbox: Sandbox;
let processor: StripeProcessor;
let ids: Ids;
let paymentId: string;
let boughtPayment: string;
let refundReference: string;
let payments = 0;
const found = new Set<string>();

beforeAll(async () => {
  database = await openFreshDatabase();
  ({ db } = database);
  sandbox = await startSandbox({ databaseUrl: database.url });
  processor = new StripeProcessor({
    name: 'sandbox',
    secretKey: 'sk_test_audit',
    baseUrl: new URL(sandbox.url),
    timeoutMs: 8_000,
  });
});
afterAll(async () => {
  await sandbox.close();
  await database.close();
});

beforeEach(async () => {
  await db.query(
    `TRUNCATE accounts, idempotency_records, naive_charges, parked_payments, sandbox.payment_intents, sandbox.refunds CASCADE`,
  );
  ids = await writeCleanBooks(db, 'acme');
  paymentId = await pay();
  await change(`processor_reference = '${paymentId}'`, ids.id);
  boughtPayment = await pay({ charge: ids.bought });
  await change(`processor_reference = '${boughtPayment}'`, ids.bought);
  refundReference = await giveBack();
  await changeRefund(`processor_reference = '${refundReference}'`);
  const payment = await pay({ charge: ids.returned });
  await change(`processor_reference = '${payment}'`, ids.returned);
  const owed = { refund: ids.owed, charge: ids.returned, payment, amount: 1200 };
  await changeRefund(`processor_reference = '${await giveBack(owed)}'`, ids.owed);
});
afterEach(async () => {
  for (const { invariant } of await compareWithProcessor(db, processor)) found.add(invariant);
});

/** The real sandbox takes money, under a new key each time. */
async function pay(
  { charge = ids.id, account = ids.account, amount = 1200 } = {},
  paymentMethod = 'pm_card_visa',
): Promise<string> {
  const metadata = { charge, account };
  const parameters = { amount, currency: 'eur', payment_method: paymentMethod, metadata };
  const answer = await processor.pay(`payment ${++payments}`, processor.prepare(parameters));
  return 'reference' in answer ? String(answer.reference) : answer.kind;
}

/** The real sandbox gives money back, under a new key each time. */
async function giveBack({
  refund = ids.refund,
  charge = ids.bought,
  payment = boughtPayment,
  amount = 100,
} = {}): Promise<string> {
  const metadata = { refund, charge, account: ids.account };
  const parameters = { payment_intent: payment, amount, metadata };
  const answer = await processor.refund(
    `refund ${++payments}`,
    processor.prepareRefund(parameters),
  );
  return 'reference' in answer ? String(answer.reference) : answer.kind;
}

async function changeRefund(set: string, id = ids.refund): Promise<void> {
  await db.query(`UPDATE refunds SET ${set} WHERE id = '${id}'`);
}

async function change(set: string, id: string): Promise<void> {
  await db.query(`UPDATE charges SET ${set} WHERE id = '${id}'`);
}

async function findings(): Promise<string[]> {
  const rows = await compareWithProcessor(db, processor);
  for (const { account_id, detail } of rows) {
    expect(account_id).toBe(ids.account);
    expect(detail).toMatch(/\S/);
  }
  return rows.map(({ invariant, id }) => `${invariant} ${id}`);
}

describe('the comparison with the processor', () => {
  test('finds nothing when both ledgers agree', async () => {
    expect(await findings()).toEqual([]);
  });

  test('finds a payment without a charge', async () => {
    const lost = await pay({ charge: 'ch_never_reserved' });
    expect(await findings()).toEqual([`payment_without_its_charge ${lost}`]);
  });

  test('finds a payment whose charge has failed', async () => {
    const wrong = await pay({ charge: ids.failed });
    expect(await findings()).toEqual([`payment_of_a_failed_charge ${wrong}`]);
  });

  test('ignores a late payment of a failed charge that is parked for a person', async () => {
    const late = await pay({ charge: ids.failed });
    await db.query(
      `INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason)
       VALUES ('${ids.account}', '${late}', '${ids.failed}', 1200, 'eur', 'succeeded_after_failed')`,
    );
    expect(await findings()).toEqual([]);
    await db.query(`UPDATE parked_payments SET resolved_at = now(), resolution = 'honoured'`);
    expect(await findings()).toEqual([]);
  });

  test('finds a charge that was paid twice', async () => {
    await pay();
    expect(await findings()).toEqual([`charge_paid_twice ${ids.id}`]);
  });

  test('finds a charge without a payment', async () => {
    await change(`processor_reference = 'pi_invented'`, ids.id);
    expect(await findings()).toEqual([`charge_without_its_payment ${ids.id}`]);
  });

  test('finds a charge that shows the payment of another', async () => {
    const other = await pay({ charge: ids.pending });
    await change(`processor_reference = '${other}'`, ids.id);
    expect(await findings()).toEqual([`charge_without_its_payment ${ids.id}`]);
  });

  test('finds a charge whose payment was declined', async () => {
    const declined = await pay({}, 'pm_card_visa_chargeDeclined');
    await change(`processor_reference = '${declined}'`, ids.id);
    expect(await findings()).toEqual([`charge_without_its_payment ${ids.id}`]);
  });

  test('finds another amount', async () => {
    await change('amount = 1300', ids.id);
    expect(await findings()).toEqual([`payment_differs_from_its_charge ${paymentId}`]);
  });

  test('finds another currency', async () => {
    await change(`currency = 'usd'`, ids.id);
    expect(await findings()).toEqual([`payment_differs_from_its_charge ${paymentId}`]);
  });

  test('finds nothing while a charge is still to be settled', async () => {
    await pay({ charge: ids.pending });
    expect(await findings()).toEqual([]);
  });

  test('finds a charge that is paid and pending after its deadline', async () => {
    const taken = await pay({ charge: ids.pending });
    await change(`created_at = now() - interval '1 hour'`, ids.pending);
    expect(await findings()).toEqual([`payment_of_a_pending_charge ${taken}`]);
  });

  test('ignores the payments of the naive lane', async () => {
    for (const id of ['ch_naive_1', 'ch_naive_2']) {
      const reference = await pay({ charge: id });
      await db.query(
        `INSERT INTO naive_charges (account_id, id, amount, currency, payment_method, processor_reference)
         VALUES ('${ids.account}', '${id}', 1200, 'eur', 'pm_card_visa', '${reference}')`,
      );
    }
    expect(await findings()).toEqual([]);
  });

  test('ignores the payments of another installation', async () => {
    await pay({ account: 'acct_elsewhere' });
    expect(await findings()).toEqual([]);
  });

  test('ignores the charges of another processor', async () => {
    await db.query(`UPDATE charges SET processor = 'stripe_test'`);
    await db.query(`UPDATE refunds SET processor = 'stripe_test'`);
    await db.query('TRUNCATE sandbox.payment_intents, sandbox.refunds CASCADE');
    expect(await findings()).toEqual([]);
  });

  test('finds an order that was paid by two charges', async () => {
    for (const charge of [ids.id, ids.bought]) {
      await db.query(
        `UPDATE sandbox.payment_intents SET metadata = metadata || $2::jsonb WHERE metadata ->> 'charge' = $1`,
        [charge, JSON.stringify({ order: ids.order })],
      );
    }
    expect(await findings()).toEqual([`order_paid_twice ${ids.order}`]);
  });

  test('finds a rebuilt charge whose order does not show it', async () => {
    await change(`rebuilt_at = now(), lost_order_id = 'order-lost'`, ids.id);
    expect(await findings()).toEqual([`payment_of_an_order_that_does_not_show_it ${ids.id}`]);
  });

  test('finds money that went back without a refund of ours', async () => {
    const lost = await giveBack({ refund: deriveId('re', ids.account, 'refund', 'lost') });
    expect(await findings()).toEqual([`paid_refund_without_its_row ${lost}`]);
  });

  test('finds money that went back under another program’s metadata', async () => {
    await giveBack({ refund: 'RMA-17', amount: 300 });
    expect(await findings()).toEqual([`charge_refunded_less_than_its_payment ${ids.bought}`]);
  });

  describe.each<[string, Record<string, string | null>]>([
    ['removed', { refund: null, charge: null, account: null }],
    ['replaced by another program’s', { refund: 'RMA-17', charge: 'order_5' }],
    ['removed in part', { account: null }],
  ])('when our metadata was %s in the processor’s dashboard,', (_how, names) => {
    beforeEach(async () => {
      // With the same amount it could be the refund that lost its metadata.
      await changeRefund('amount = 40', ids.refundPending);
      for (const [table, reference] of [
        ['payment_intents', paymentId],
        ['refunds', refundReference],
      ])
        await db.query(
          `UPDATE sandbox.${table} SET metadata = jsonb_strip_nulls(metadata || $2::jsonb) WHERE id = $1`,
          [reference, JSON.stringify(names)],
        );
    });

    test('finds nothing: the references identify the rows', async () => {
      expect(await findings()).toEqual([]);
    });

    test('finds another amount of the payment', async () => {
      await change('amount = 1300', ids.id);
      expect(await findings()).toEqual([`payment_differs_from_its_charge ${paymentId}`]);
    });

    test('finds another amount of the refund', async () => {
      await changeRefund('amount = 90');
      expect(await findings()).toEqual([`charge_refunded_less_than_its_payment ${ids.bought}`]);
    });

    test('finds money that was taken for a failed charge, and money that went back for a failed refund', async () => {
      await change(`status = 'failed', failure_code = 'card_declined'`, ids.id);
      await changeRefund(`status = 'failed', failure_code = 'charge_disputed'`);
      expect(await findings()).toEqual([
        `charge_refunded_less_than_its_payment ${ids.bought}`,
        `payment_of_a_failed_charge ${paymentId}`,
      ]);
    });
  });

  test('accepts a booked refund from the dashboard whose metadata names our charge but no account', async () => {
    const id = deriveId('re', ids.account, 'refund', 'copied');
    const reference = await giveBack({ refund: id });
    await db.query(`UPDATE sandbox.refunds SET metadata = metadata - 'account' WHERE id = $1`, [
      reference,
    ]);
    await changeRefund(
      `status = 'succeeded', failure_code = NULL, processor_reference = '${reference}'`,
      ids.refundFailed,
    );
    expect(await findings()).toEqual([]);
  });

  test('finds money that went back in the processor’s dashboard, unless it is booked', async () => {
    const parameters = { payment_intent: boughtPayment, amount: 300 };
    const answer = await processor.refund(`desk ${++payments}`, JSON.stringify(parameters));
    expect(answer.kind).toBe('succeeded');
    const reference = 'reference' in answer ? answer.reference : null;
    await changeRefund(
      `status = 'succeeded', failure_code = NULL, amount = 300, processor_reference = '${reference}'`,
      ids.refundFailed,
    );
    expect(await findings()).toEqual([]);
    await changeRefund(`processor_reference = 're_another'`, ids.refundFailed);
    expect(await findings()).toEqual([
      `charge_refunded_less_than_its_payment ${ids.bought}`,
      `refund_that_was_never_paid ${ids.refundFailed}`,
    ]);
  });

  test('finds a refund that failed at the processor after a success', async () => {
    await db.query(
      `UPDATE sandbox.refunds SET status = 'failed', failure_reason = 'expired_or_canceled_card' WHERE id = $1`,
      [refundReference],
    );
    expect(await findings()).toEqual([`refund_that_was_never_paid ${ids.refund}`]);
  });

  test('finds a refund that went back twice', async () => {
    await giveBack();
    expect(await findings()).toEqual([`refund_paid_twice ${ids.refund}`]);
  });

  test('finds a refund that never went back', async () => {
    await changeRefund(`processor_reference = 're_invented'`);
    expect(await findings()).toEqual([`refund_that_was_never_paid ${ids.refund}`]);
  });

  test('finds a refund of another amount', async () => {
    await changeRefund('amount = 90');
    expect(await findings()).toEqual([`paid_refund_differs_from_its_row ${refundReference}`]);
  });

  test('finds money that went back for a failed refund', async () => {
    const wrong = await giveBack({ refund: ids.refundFailed });
    expect(await findings()).toEqual([`paid_refund_differs_from_its_row ${wrong}`]);
  });

  test('finds nothing while a refund is still to be settled', async () => {
    await giveBack({ refund: ids.refundPending });
    expect(await findings()).toEqual([]);
  });

  test('finds a refund that is paid and pending after its deadline', async () => {
    const taken = await giveBack({ refund: ids.refundPending });
    await changeRefund(`created_at = now() - interval '1 hour'`, ids.refundPending);
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
