import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { audit } from '../../../src/audit/audit.js';
import { runToEnd } from '../../operation/operation.support.js';
import { expectCleanBooks } from '../../support/books.js';
import { openDatabase } from '../../support/open-database.js';
import { send } from '../../support/raw-client.js';
import { until } from '../../support/until.js';
import { refund } from '../../refunds/refunds.support.js';
import {
  addJob,
  drained,
  jobs,
  skipPauses,
  startShop,
  type Purchase,
  type Shop,
} from '../../effects/effects.support.js';
import {
  buyTheMissing,
  endOf,
  expectCanceled,
  payloadOf,
  paymentOf,
  refundAtProcessor,
} from './sale-cancellation.support.js';

/** The processor refuses the refund of a sale that cannot be delivered, or takes it back later. */
let shop: Shop;
beforeAll(async () => {
  shop = await startShop({ PROCESSOR_TIMEOUT_MS: '30000' });
  await shop.startWorkerProcess();
});
afterAll(() => expectCleanBooks(shop));
afterAll(() => shop.stop());

/** An operator has already refunded at the processor, without our ids. */
const refundInDashboard = (amount?: number) => async (purchase: Purchase) => {
  const more = amount === undefined ? '' : `&amount=${amount}`;
  expect((await refundAtProcessor(shop, purchase, more)).status).toBe(200);
};

/** The refunds of a charge; those that we owe with their causes. */
async function bookedOf({ charge }: Purchase) {
  const { rows } = await shop.db.query<{ cause: string | null; status: string; amount: number }>(
    `SELECT substr(cause, length('out_of_stock:' || charge_id) + 1) AS cause, status, amount::int FROM refunds
     WHERE charge_id = $1 ORDER BY settled_at`,
    [charge],
  );
  return rows;
}

describe('a refund that the processor refuses', () => {
  test('because all was refunded there: that is booked, and the order is canceled', async () => {
    const purchase = await buyTheMissing(shop, refundInDashboard());
    await expectCanceled(shop, purchase, { back: [] });
    expect(await bookedOf(purchase)).toEqual([
      { cause: '', status: 'failed', amount: 1200 },
      { cause: null, status: 'succeeded', amount: 1200 },
    ]);
    const { body } = await send(`${shop.apiUrl}/charges/${purchase.charge}`);
    expect(body.amount_refunded).toBe(1200);
    await addJob(shop.db, 'cancel-sale', await payloadOf(shop, purchase));
    await expectCanceled(shop, purchase, { back: [] });
  });

  test('because a part was refunded there: the rest goes back, and the order is canceled', async () => {
    const purchase = await buyTheMissing(shop, refundInDashboard(500));
    await expectCanceled(shop, purchase, { back: [700], refunded: 2 });
    expect(await bookedOf(purchase)).toEqual([
      { cause: '', status: 'failed', amount: 1200 },
      { cause: null, status: 'succeeded', amount: 500 },
      { cause: '#2', status: 'succeeded', amount: 700 },
    ]);
  });

  test('for another reason cancels nothing and shows in the audit; an operator’s retry uses the next key', async () => {
    let payment = '';
    const purchase = await buyTheMissing(shop, async (bought) => {
      payment = await paymentOf(shop, bought);
      await pay(bought, 'pi_absent');
    });
    const failedTimes = (attempts: number) =>
      until(async () => {
        const [job] = await jobs(shop.db, 'cancel-sale');
        return (
          job !== undefined &&
          job.attempts >= attempts && // the queue also retries it
          /a person must look/.test(job.last_error ?? '') &&
          !job.locked
        );
      });
    await failedTimes(1);
    await skipPauses(shop.db);
    await failedTimes(2); // without an operator, the job does not ask the processor again
    const refused = { cause: '', status: 'failed', amount: 1200 };
    expect(await bookedOf(purchase)).toEqual([refused]);
    expect((await endOf(shop, purchase)).order).toBe('paid');
    expect(await findings()).toContain('refund_owed_but_refused');

    await pay(purchase, payment);
    const [job] = await jobs(shop.db, 'cancel-sale');
    await shop.db.query(
      'UPDATE graphile_worker._private_jobs SET attempts = max_attempts WHERE id = $1',
      [job!.id],
    );
    expect((await runToEnd('jobs.js', shop.env, ['retry', job!.id])).exit).toBe(0);
    await expectCanceled(shop, purchase);
    expect(await bookedOf(purchase)).toEqual([
      refused,
      { cause: '#2', status: 'succeeded', amount: 1200 },
    ]);
  });

  test('long after it had succeeded: the order stays canceled, and an operator can refund with a key', async () => {
    const purchase = await buyTheMissing(shop);
    await expectCanceled(shop, purchase);
    const { rows } = await shop.db.query<{ processor_reference: string; id: string }>(
      'SELECT id, processor_reference FROM refunds WHERE charge_id = $1',
      [purchase.charge],
    );
    const [{ processor_reference: reference, id }] = rows as [(typeof rows)[0]];
    await shop.db.query(
      `UPDATE sandbox.refunds SET status = 'failed', failure_reason = 'expired_or_canceled_card' WHERE id = $1`,
      [reference],
    );
    await shop.db.query(
      `UPDATE sandbox.payment_intents SET amount_refunded = 0 WHERE id = (SELECT payment_intent FROM sandbox.refunds WHERE id = $1)`,
      [reference],
    );
    expect((await runToEnd('reconcile.js', shop.env)).output).toContain(
      `refund_failed_after_it_had_succeeded`,
    );
    await drained(shop.db);
    expect((await endOf(shop, purchase)).order).toBe('canceled');
    const { rows: parked } = await shop.db.query(
      'SELECT reason FROM parked_payments WHERE processor_reference = $1',
      [reference],
    );
    expect(parked).toEqual([{ reason: 'owed_refund_failed' }]);
    expect(await findings()).toEqual(
      expect.arrayContaining(['refund_owed_but_refused', 'order_canceled_but_not_refunded']),
    );
    const { rows: reported } = await shop.db.query('SELECT type FROM events WHERE cause = $1', [
      id,
    ]);
    expect(reported.map(({ type }) => type).sort()).toEqual(['charge.refunded', 'refund.failed']);
    const again = await refund(shop.apiUrl, purchase.charge, randomUUID());
    expect([again.status, again.body.amount]).toEqual([201, 1200]);
    expect(await findings()).toEqual([]);
  });

  const pay = ({ charge }: Purchase, payment: string) =>
    shop.db.query('UPDATE charges SET processor_reference = $2 WHERE id = $1', [charge, payment]);

  async function findings(): Promise<string[]> {
    const { db, close } = await openDatabase(shop.databaseUrl);
    const found = await audit(db).finally(close);
    return found.map(({ invariant }) => invariant);
  }
});
