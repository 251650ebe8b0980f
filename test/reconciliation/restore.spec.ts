import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { runToEnd } from '../operation/operation.support.js';
import { refund } from '../refunds/refunds.support.js';
import { paymentsAtProcessor } from '../support/books.js';
import { backUp, freshDatabase, type TestDatabase } from '../support/database.js';
import { charge, chargeUntilAnswered, send } from '../support/raw-client.js';
import { forgetPromises } from '../support/retry-promise.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';

/** The processor is another company, so our backup does not contain its ledger. */
let theirs: TestDatabase;
let ours: TestDatabase;
let backup: TestDatabase | undefined;
let service: Service | undefined;
beforeAll(async () => {
  theirs = await freshDatabase();
  ours = await freshDatabase();
});
afterAll(async () => {
  await service?.stop();
  for (const database of [theirs, ours, backup]) await database?.drop();
});

/** API, worker and processor. */
async function start({ url }: TestDatabase): Promise<Service> {
  service = await startService({ databaseUrl: url, ledgerUrl: theirs.url });
  await service.startWorker();
  return service;
}

async function taken(sandboxUrl: string): Promise<number> {
  return (await paymentsAtProcessor(sandboxUrl)).length;
}

/** A day passes at the processor, so it has forgotten the keys. */
async function forgetKeys(): Promise<void> {
  const client = new pg.Client({ connectionString: theirs.url });
  await client.connect();
  await client.query('DELETE FROM sandbox.idempotency_keys');
  await client.end();
}

test('after a restore from an older backup, retries do not charge again', async () => {
  const order = { currency: 'eur', items: [{ sku: 'cup', quantity: 1, unit_amount: 800 }] };
  const ofOrder = { amount: undefined, currency: undefined, order: 'order-1' };

  const old = await start(ours);
  const { apiUrl: first } = old;
  expect((await send(`${first}/orders/order-1`, { method: 'PUT', body: order })).status).toBe(201);
  const kept = await chargeUntilAnswered(first, 'kept');
  await old.stop();
  backup = await backUp(ours);

  const lost = await start(ours);
  const alone = await chargeUntilAnswered(lost.apiUrl, 'alone');
  const early = await chargeUntilAnswered(lost.apiUrl, 'early');
  const paid = await chargeUntilAnswered(lost.apiUrl, 'of the order', ofOrder);
  const back = await refund(lost.apiUrl, alone.body.id, 'back', { amount: 300 });
  const declined = await charge(lost.apiUrl, 'declined', {
    payment_method: 'pm_card_visa_chargeDeclined',
  });
  expect([alone, early, paid, back, declined].map(({ status }) => status)).toEqual([
    201, 201, 201, 201, 402,
  ]);
  expect(await taken(lost.sandboxUrl)).toBe(4);
  await lost.stop();
  forgetPromises(); // promises of answers whose records the restore has lost

  const restored = await start(backup);
  const { apiUrl: api, sandboxUrl, databaseUrl } = restored;
  // While the processor remembers its keys, a retry is enough.
  const again = await charge(api, 'early');
  expect([again.status, again.body.id, again.body.processor_reference]).toEqual([
    201,
    early.body.id,
    early.body.processor_reference,
  ]);
  await forgetKeys();
  const env = {
    DATABASE_URL: databaseUrl,
    PROCESSOR_URL: sandboxUrl,
  };
  const reconciled = await runToEnd('reconcile.js', env);
  expect(reconciled.output.split('\n').map((line) => line.split('  ')[0])).toEqual([
    'charge_rebuilt',
    'charge_rebuilt',
    'refund_rebuilt',
    '4 payments and 1 refunds of sandbox, 3 differences',
    '',
  ]);
  expect(reconciled.exit).toBe(1);

  for (const [key, changes, { body }] of [
    ['alone', {}, alone],
    ['of the order', ofOrder, paid],
  ] as const) {
    const retry = await charge(api, key, changes);
    expect([retry.status, retry.body.code, retry.body.resource]).toEqual([
      409,
      'idempotency_key_expired',
      expect.objectContaining({ id: body.id }),
    ]);
  }
  expect((await refund(api, alone.body.id, 'back', { amount: 300 })).status).toBe(409);
  expect((await charge(api, 'kept')).text).toBe(kept.text);
  // Nothing was taken with this key, so it is unused again, and the retry is declined again.
  const decline = await charge(api, 'declined', { payment_method: 'pm_card_visa_chargeDeclined' });
  expect([decline.status, decline.body.charge]).toEqual([402, declined.body.charge]);
  expect(await taken(sandboxUrl)).toBe(4);
  await until(async () => {
    const { body } = await send(`${api}/orders/order-1`);
    return body.status === 'paid' && body.charge === paid.body.id && body.fulfillment !== null;
  });
  expect((await runToEnd('reconcile.js', env)).exit).toBe(0);
  const audited = await runToEnd('audit.js', env);
  expect([audited.exit, audited.output]).toEqual([0, expect.stringContaining(' 0 findings')]);
});
