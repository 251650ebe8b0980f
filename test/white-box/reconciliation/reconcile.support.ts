import { expect } from '@jest/globals';
import { DataSource } from 'typeorm';
import { databaseOptions, TypeOrmDatabase, type Database } from '../../../src/database/database.js';
import { StripeProcessor } from '../../../src/processor/stripe-processor.js';
import { reconcile } from '../../../src/reconciliation/reconcile.js';
import { newKey } from '../../refunds/refunds.support.js';
import { charge, send, type Reply } from '../../support/raw-client.js';
import { forgetPromises } from '../../support/retry-promise.js';
import { startService, type Service } from '../../support/service.js';

export const HOUR_MS = 3_600_000;

/** A service, and the reconciliation of its books with the sandbox's. */
export interface ReconciledService extends Service {
  pool: Database;
  /** Reconciles the last hour. @returns the differences, as `what id`. */
  differences(): Promise<string[]>;
}

export async function startReconciledService(): Promise<ReconciledService> {
  const service = await startService();
  const dataSource = await new DataSource(databaseOptions(service.databaseUrl, 4)).initialize();
  const pool = new TypeOrmDatabase(dataSource);
  const processor = new StripeProcessor({
    name: 'sandbox',
    secretKey: 'sk_test_reconcile',
    baseUrl: new URL(service.sandboxUrl),
    timeoutMs: 8_000,
  });
  return {
    ...service,
    pool,
    async differences() {
      const to = new Date();
      const span = { from: new Date(to.getTime() - HOUR_MS), to };
      const found: string[] = [];
      await reconcile(pool, processor, span, ({ invariant, id }) => {
        found.push(`${invariant} ${id}`);
      });
      return found;
    },
    async stop() {
      await dataSource.destroy();
      await service.stop();
    },
  };
}

/** Call before each test: it then has its own ledgers, here and at the processor. */
export async function clearLedgers({ db }: Service): Promise<void> {
  await db.query(
    `TRUNCATE idempotency_records, charges, refunds, orders, events, parked_payments, naive_charges, fulfillments,
       sandbox.payment_intents, sandbox.refunds, sandbox.idempotency_keys CASCADE`,
  );
}

/**
 * Deletes all rows about charges by SQL, as a failover loses them; restore.spec.ts restores a data directory. The
 * processor has forgotten its keys.
 */
export async function lose({ db }: Service, ...chargeIds: string[]): Promise<void> {
  await db.query(`UPDATE orders SET status = 'open', charge_id = NULL WHERE charge_id = ANY($1)`, [
    chargeIds,
  ]);
  await db.query(`DELETE FROM refunds WHERE charge_id = ANY($1)`, [chargeIds]);
  await db.query(`DELETE FROM charges WHERE id = ANY($1)`, [chargeIds]);
  await db.query(`DELETE FROM idempotency_records WHERE operation LIKE 'POST /charges%'
    AND NOT EXISTS (SELECT 1 FROM charges WHERE id = resource_id)
    AND NOT EXISTS (SELECT 1 FROM refunds WHERE id = resource_id)`);
  await db.query(`DELETE FROM events WHERE (type LIKE 'charge.%' OR type = 'order.paid')
    AND NOT EXISTS (SELECT 1 FROM charges WHERE id = cause)
    AND NOT EXISTS (SELECT 1 FROM refunds WHERE id = cause)
    AND NOT EXISTS (SELECT 1 FROM orders WHERE id = cause AND status = 'paid')`);
  await db.query('DELETE FROM sandbox.idempotency_keys');
  forgetPromises();
}

export async function newOrder(
  { apiUrl }: Service,
  total: number,
  order = newKey('order'),
): Promise<string> {
  const items = [{ sku: 'cup', quantity: 1, unit_amount: total }];
  const made = await send(`${apiUrl}/orders/${order}`, {
    method: 'PUT',
    body: { currency: 'eur', items },
  });
  expect(made.status).toBe(201);
  return order;
}

/** Pays an order. The request has no amount: the order gives it. */
export function pay(
  { apiUrl }: Service,
  order: string,
  key = newKey(),
  changes: Record<string, unknown> = {},
): Promise<Reply> {
  return charge(apiUrl, key, { amount: undefined, currency: undefined, order, ...changes });
}

/** An order of 7.00, and the charge that paid it. */
export async function paidOrder(service: Service): Promise<{ order: string; id: string }> {
  const order = await newOrder(service, 700);
  const { id } = (await pay(service, order)).body;
  return { order, id };
}
