import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { startSandbox, type Sandbox, type WebhookConfig } from '../../support/internals.js';
import { expectCleanBooks, paymentsAtProcessor, paymentsOf } from '../../support/books.js';
import { charge, chargeUntilAnswered, lookUp, send } from '../../support/raw-client.js';
import { startSandboxProcess } from '../../support/sandbox-process.js';
import type { Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import { SECRET, startListening, statusOf, eventTypesOf } from './incoming.support.js';

/** A processor that sends webhooks about payments whose answer was lost. A separate process where it is killed. */
let service: Service;
let sender: Sandbox | undefined;
beforeAll(async () => {
  service = await startListening({ PROCESSOR_TIMEOUT_MS: '5000' });
});
afterEach(async () => {
  await sender?.close();
  await service.stopWorkers();
  sender = undefined;
  service.gate.be('open');
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

async function startTelling(how: Partial<WebhookConfig> = {}): Promise<void> {
  const { apiUrl, databaseUrl } = service;
  const webhook = {
    ...{ url: `${apiUrl}/webhooks/processor`, secret: SECRET },
    ...{ delayMs: 0, copies: 1, shuffleMs: 0 },
    ...how,
  };
  sender = await startSandbox({ databaseUrl, webhook });
}

/** Checks that every notification was accepted. */
const allTaken = () =>
  until(async () => {
    const { rows } = await service.db.query(
      'SELECT id FROM sandbox.events WHERE delivered_at IS NULL',
    );
    return rows.length === 0;
  });

describe('a charge whose answer was lost', () => {
  test.each(['pm_lab_timeout', 'pm_card_visa'])(
    'is settled by the notification, without its client or the sweep (%s)',
    async (payment_method) => {
      const { apiUrl, gate, sandboxUrl } = service;
      if (payment_method === 'pm_card_visa') gate.be('losing');
      const lost = await charge(apiUrl, payment_method, { payment_method });
      expect(lost).toMatchObject({ status: 504, body: { retry: 'same_key' } });
      const id = lost.body.charge;
      gate.be('refusing'); // the sweep cannot reach the processor
      expect(await statusOf(service, id)).toBe('pending'); // without the notification, it stays pending
      await startTelling();
      await until(async () => (await statusOf(service, id)) === 'succeeded');
      const retry = await charge(apiUrl, payment_method, { payment_method });
      expect(retry).toMatchObject({ status: 201, body: { id, status: 'succeeded' } });
      expect(retry.headers['idempotent-replayed']).toBe('true');
      expect((await lookUp(apiUrl, payment_method)).body.attempts).toBe(1);
      expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
      expect(await eventTypesOf(service, id)).toEqual(['charge.succeeded']);
    },
  );

  test('is settled before the sweep reaches the processor; the sweep then does nothing', async () => {
    const { apiUrl, gate, sandboxUrl } = service;
    gate.be('losing');
    const lost = await charge(apiUrl, 'before the sweep');
    const id = lost.body.charge;
    gate.be('refusing');
    await service.startWorker();
    const before = gate.attempts(id);
    await until(async () => gate.attempts(id) > before); // the sweep tries without success
    await startTelling();
    await until(async () => (await statusOf(service, id)) === 'succeeded');
    gate.be('open');
    const { rows } = await service.db.query(
      `SELECT state, response_status FROM idempotency_records WHERE resource_id = $1`,
      [id],
    );
    expect(rows).toEqual([{ state: 'completed', response_status: 201 }]);
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
  });

  test('and declined is settled as declined', async () => {
    const { apiUrl, gate } = service;
    const declined = { payment_method: 'pm_card_visa_chargeDeclinedInsufficientFunds' };
    gate.be('losing');
    const lost = await charge(apiUrl, 'lost decline', declined);
    gate.be('refusing');
    await startTelling();
    await until(async () => (await statusOf(service, lost.body.charge)) === 'failed');
    expect(await charge(apiUrl, 'lost decline', declined)).toMatchObject({
      status: 402,
      body: { code: 'card_declined', decline_code: 'insufficient_funds', retry: 'new_key' },
    });
  });

  test('because the processor failed after it charged is settled by the notification', async () => {
    const { apiUrl, gate } = service;
    const failing = { payment_method: 'pm_lab_error_after_charge' };
    gate.be('losing');
    const lost = await charge(apiUrl, 'stored 500', failing);
    gate.be('refusing');
    await startTelling();
    await until(async () => (await statusOf(service, lost.body.charge)) === 'succeeded');
  });
});

describe('a processor that sends everything in parallel, three times, in any order', () => {
  test('leaves one end, one event and one answer of each purchase and each refund', async () => {
    const { apiUrl, sandboxUrl } = service;
    await startTelling({ copies: 3, shuffleMs: 300 });
    await service.startWorker();
    const methods = [
      ...['pm_card_visa', 'pm_lab_response_lost', 'pm_card_mastercard'],
      ...['pm_card_visa_chargeDeclined', 'pm_lab_error_after_charge'],
    ];
    const purchases = Array.from({ length: 20 }, (_, index) => ({
      key: `storm ${index}`,
      method: { payment_method: methods[index % methods.length] },
    }));
    const ends = await Promise.all(
      purchases.map(async ({ key, method }) => {
        const end = await chargeUntilAnswered(apiUrl, key, method);
        if (end.status !== 201) return end;
        const url = `${apiUrl}/charges/${end.body.id}/refunds`;
        const refund = await send(url, { key: `${key} back`, body: { amount: 100 } });
        // Pending: unknown, or another holder works on it. The notification or the sweep ends it.
        if (refund.status !== 201) expect(refund.body.retry).toBe('same_key');
        return end;
      }),
    );
    await until(async () => {
      const { rows } = await service.db.query(`SELECT 1 FROM refunds WHERE status = 'pending'`);
      return rows.length === 0;
    });
    await allTaken();

    for (const [index, end] of ends.entries()) {
      const { key, method } = purchases[index]!;
      const again = await charge(apiUrl, key, method);
      expect([again.status, again.text]).toEqual([end.status, end.text]);
      const id = end.status === 201 ? end.body.id : end.body.charge;
      expect(await eventTypesOf(service, id)).toEqual([
        end.status === 201 ? 'charge.succeeded' : 'charge.failed',
      ]);
    }
    const paid = await paymentsAtProcessor(sandboxUrl);
    expect(new Set(paid.map(({ metadata }) => metadata.charge)).size).toBe(paid.length);
    const { rows } = await service.db.query(
      `SELECT state, count(*)::int FROM processor_events GROUP BY state`,
    );
    expect(rows).toEqual([{ state: 'applied', count: expect.any(Number) }]);
    const { rows: parked } = await service.db.query('SELECT * FROM parked_payments');
    expect(parked).toEqual([]);
  });
});

describe('a processor that is killed while its notifications are not accepted', () => {
  test('continues when both are up: nothing is lost, and nothing is applied twice', async () => {
    const { apiUrl, gate } = service;
    gate.be('losing');
    const { body } = await charge(apiUrl, 'both away');
    gate.be('refusing');
    const doomed = await startSandboxProcess(service.databaseUrl, {
      SANDBOX_WEBHOOK_URL: 'http://127.0.0.1:9/webhooks/processor', // nowhere
      SANDBOX_WEBHOOK_SECRET: SECRET,
      SANDBOX_WEBHOOK_DELAY_MS: '0',
    });
    const attempts = async () =>
      (
        await service.db.query<{ attempts: number }>(
          `SELECT attempts FROM sandbox.events WHERE body LIKE '%' || $1 || '%'`,
          [body.charge],
        )
      ).rows[0]!.attempts;
    await until(async () => (await attempts()) >= 2);
    await doomed.kill();
    expect(await statusOf(service, body.charge)).toBe('pending');
    await startTelling();
    await until(async () => (await statusOf(service, body.charge)) === 'succeeded');
    expect(await eventTypesOf(service, body.charge)).toEqual(['charge.succeeded']);
    await allTaken();
  });
});
