import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newKey, refund } from '../../../refunds/refunds.support.js';
import { expectCleanBooks } from '../../../support/books.js';
import type { Service } from '../../../support/service.js';
import { event, notify, startListening } from '../incoming.support.js';
import { paid, refundInDashboard } from './at-processor.support.js';

/** The processor refuses our refund, because it made others that we do not know yet. */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

describe('a refund that the processor refuses because of refunds made there', () => {
  test('when all went back there: those are booked, and no key is sent twice', async () => {
    const { id, payment, refunded } = await paid(service);
    await refundInDashboard(service, payment);
    const key = newKey();
    const first = await refund(service.apiUrl, id, key, { amount: 500 });
    expect(first).toMatchObject({
      status: 402,
      body: { code: 'refund_failed', failure_code: 'refund_exceeds_charge', retry: 'new_key' },
    });
    expect(await refunded()).toBe(1200);
    expect((await refund(service.apiUrl, id, key, { amount: 500 })).text).toBe(first.text);
    for (const body of [{ amount: 500 }, {}]) {
      const next = await refund(service.apiUrl, id, newKey(), body);
      expect(next).toMatchObject({
        status: 409,
        body: { code: 'refund_exceeds_charge', retry: 'no', resource: { id } },
      });
    }
  });

  test('when the same amount went back there: that is booked, and ours fails', async () => {
    const { id, payment, refunded } = await paid(service);
    await refundInDashboard(service, payment);
    expect(await refund(service.apiUrl, id, newKey())).toMatchObject({
      status: 402,
      body: { code: 'refund_failed', failure_code: 'refund_exceeds_charge' },
    });
    expect(await refunded()).toBe(1200);
  });

  test('two refunds of one amount that are both refused do not wait for each other', async () => {
    const { id, payment, refunded } = await paid(service);
    const keys = [newKey(), newKey()];
    service.gate.be('refusing');
    for (const key of keys)
      expect((await refund(service.apiUrl, id, key, { amount: 600 })).status).toBe(503);
    service.gate.be('open');
    for (let part = 0; part < 2; part++) await refundInDashboard(service, payment, 600);
    for (const key of keys)
      expect(await refund(service.apiUrl, id, key, { amount: 600 })).toMatchObject({
        status: 402,
        body: { failure_code: 'refund_exceeds_charge' },
      });
    expect(await refunded()).toBe(1200);
  });

  test('when a part went back there: the rest goes back with the next key', async () => {
    const { id, payment, refunded } = await paid(service);
    await refundInDashboard(service, payment, 500);
    expect(await refund(service.apiUrl, id, newKey())).toMatchObject({
      status: 402,
      body: { code: 'refund_failed', failure_code: 'refund_exceeds_charge' },
    });
    const rest = await refund(service.apiUrl, id, newKey());
    expect([rest.status, rest.body.amount, await refunded()]).toEqual([201, 700, 1200]);
  });

  test('when all this happens in parallel: never more than was taken goes back or is booked', async () => {
    const { id, payment, refunded, refunds } = await paid(service);
    const elsewhere = await refundInDashboard(service, payment, 500);
    const second = await service.startApi();
    const news = event('refund.created', elsewhere);
    await Promise.all([
      ...[service.apiUrl, second.url].map((url) => notify(url, news)),
      ...[service.apiUrl, second.url, service.apiUrl, second.url].map((url) =>
        refund(url, id, newKey(), { amount: 600 }),
      ),
    ]);
    await second.stop();
    const back = (await refunds()).filter(({ status }) => status === 'succeeded');
    expect(await refunded()).toBe(back.reduce((sum, { amount }) => sum + amount, 0));
    expect(back.filter((each) => each.processor_reference === elsewhere.id)).toHaveLength(1);
    expect(await refunded()).toBe(1100);
  });

  test('while that one is pending there, this one waits for it', async () => {
    const { id, payment, refunds } = await paid(service, 'pm_card_pendingRefund');
    // Otherwise it would succeed by itself after a second.
    await service.db.query(`
      CREATE FUNCTION stay_pending() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.turns_at := NULL; RETURN NEW; END $$`);
    await service.db.query(
      `CREATE TRIGGER stay_pending BEFORE INSERT ON sandbox.refunds FOR EACH ROW EXECUTE FUNCTION stay_pending()`,
    );
    const elsewhere = await refundInDashboard(service, payment, 1000);
    await service.db.query('DROP FUNCTION stay_pending CASCADE');
    expect(elsewhere.status).toBe('pending');
    const key = newKey();
    const waits = await refund(service.apiUrl, id, key, { amount: 500 });
    expect(waits).toMatchObject({ status: 504, body: { retry: 'same_key' } });
    expect((await refunds()).map(({ status }) => status)).toEqual(['pending']);
    await service.db.query(`UPDATE sandbox.refunds SET status = 'succeeded' WHERE id = $1`, [
      elsewhere.id,
    ]);
    expect(await refund(service.apiUrl, id, key, { amount: 500 })).toMatchObject({
      status: 402,
      body: { failure_code: 'refund_exceeds_charge' },
    });
    expect((await refunds()).map(({ status, amount }) => [status, amount])).toEqual([
      ['failed', 500],
      ['succeeded', 1000],
    ]);
  });
});
