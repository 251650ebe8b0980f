import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type pg from 'pg';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { openPool } from '../support/database.js';
import { charge, chargeUntilAnswered, getCharge, send } from '../support/raw-client.js';
import { startStack, type Stack } from '../support/stack.js';
import { until } from '../support/until.js';

// Slow: real leases expire, four seconds each, and each kill loads a program again. This is the whole of `npm start`:
// each killed program restarts, and every charge ends.
let stack: Stack;
let db: pg.Pool;
beforeAll(async () => {
  stack = await startStack({ env: { PROCESSOR_TIMEOUT_MS: '2000' } });
  db = openPool(stack.databaseUrl, 1);
});
afterAll(() => expectCleanBooks(stack));
afterAll(async () => {
  await db.end();
  await stack.stop();
});

/** The id of the object that a key made. The API may be down at the moment. */
async function idOf(key: string): Promise<string> {
  const { rows } = await db.query(`SELECT resource_id FROM idempotency_records WHERE key = $1`, [
    key,
  ]);
  return rows[0].resource_id;
}

/** Waits until the supervisor has restarted the API. */
async function apiIsBack(): Promise<void> {
  await until(async () => (await send(`${stack.apiUrl}/health/ready`)).status === 200);
}

async function expectPaidOnce(id: string): Promise<void> {
  await until(async () => (await getCharge(stack.apiUrl, id)).body.status === 'succeeded');
  expect(await paymentsOf(stack.sandboxUrl, id)).toHaveLength(1);
}

test.each([
  'crash-before-reserve',
  'crash-after-reserve',
  'crash-after-processor',
  'crash-after-settle',
])('Lab-Fault: %s kills the API; the client that retries is charged once', async (fault) => {
  const before = await stack.apiPid();
  const crashing = charge(stack.apiUrl, fault, {}, { headers: { 'lab-fault': fault } });
  await expect(crashing).rejects.toThrow();
  const reply = await chargeUntilAnswered(stack.apiUrl, fault);
  expect(await stack.apiPid()).not.toBe(before);
  expect(reply.status).toBe(201);
  await expectPaidOnce(reply.body.id);
});

test('a kill -9 of the worker during recovery delays the charge, and it is charged once', async () => {
  await apiIsBack();
  const slow = { payment_method: 'pm_lab_slow' };
  const headers = { 'lab-fault': 'crash-after-reserve' };
  await expect(charge(stack.apiUrl, 'recovery', slow, { headers })).rejects.toThrow();
  // The worker has claimed the charge and waits for the processor, which takes 3 s.
  await until(async () => {
    const { rows } = await db.query(
      `SELECT resource_id FROM idempotency_records WHERE key = 'recovery' AND epoch > 1`,
    );
    return rows.length === 1;
  });
  await stack.restarted('worker', await stack.kill('worker'));

  const id = await idOf('recovery');
  await expectPaidOnce(id);
  const retry = await chargeUntilAnswered(stack.apiUrl, 'recovery', slow);
  expect(retry).toMatchObject({ status: 201, body: { id } });
  expect(retry.headers['idempotent-replayed']).toBe('true');
});

test('a kill -9 of the processor during a slow charge: it restarts, and the charge is paid once', async () => {
  await apiIsBack();
  const slow = { payment_method: 'pm_lab_slow' };
  const cut = charge(stack.apiUrl, 'cut', slow);
  await until(async () => {
    const { rows } = await db.query(
      `SELECT 1 FROM sandbox.idempotency_keys AS seen JOIN idempotency_records AS ours
         ON seen.key = ours.resource_id WHERE ours.key = 'cut' AND seen.state = 'running'`,
    );
    return rows.length === 1;
  });
  await stack.restarted('sandbox', await stack.kill('sandbox'));
  expect(await cut).toMatchObject({ status: 504, body: { retry: 'same_key' } });
  const { charge: id } = (await cut).body;
  await expectPaidOnce(id);
  expect((await charge(stack.apiUrl, 'cut', slow)).body).toMatchObject({ id, status: 'succeeded' });
});
