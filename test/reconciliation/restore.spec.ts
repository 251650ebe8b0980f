import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { runToEnd } from '../operation/operation.support.js';
import { refund } from '../refunds/refunds.support.js';
import { paymentsAtProcessor } from '../support/books.js';
import { freshDatabase } from '../support/database.js';
import { charge, chargeUntilAnswered, send } from '../support/raw-client.js';
import { forgetPromises } from '../support/retry-promise.js';
import { startStack, type Stack } from '../support/stack.js';
import { until } from '../support/until.js';

/** The processor is another company: its ledger is not in our backup. */
let theirs: Awaited<ReturnType<typeof freshDatabase>>;
let home: string;
let stack: Stack | undefined;
beforeAll(async () => {
  theirs = await freshDatabase();
  home = await mkdtemp(join(tmpdir(), 'charge-once-restore-'));
  await chmod(home, 0o755); // under root the server is another user's
});
afterAll(async () => {
  await stack?.stop();
  await theirs.drop();
  await rm(home, { recursive: true, force: true });
});

const run = promisify(execFile);
const dataDir = () => join(home, 'data');
const copyDir = () => join(home, 'backup');

async function start(): Promise<Stack> {
  stack = await startStack({
    embedded: true,
    dataDir: dataDir(),
    env: { SANDBOX_DATABASE_URL: theirs.url },
  });
  return stack;
}

async function taken(sandboxUrl: string): Promise<number> {
  return (await paymentsAtProcessor(sandboxUrl)).length;
}

/** A day passes at the processor: it has forgotten the keys. */
async function forgetKeys(): Promise<void> {
  const client = new pg.Client({ connectionString: theirs.url });
  await client.connect();
  await client.query('DELETE FROM sandbox.idempotency_keys');
  await client.end();
}

test('after a restore from an older backup nobody who retries is charged again', async () => {
  const order = { currency: 'eur', items: [{ sku: 'cup', quantity: 1, unit_amount: 800 }] };
  const ofOrder = { amount: undefined, currency: undefined, order: 'order-1' };

  const old = await start();
  const { apiUrl: first } = old;
  expect((await send(`${first}/orders/order-1`, { method: 'PUT', body: order })).status).toBe(201);
  const kept = await chargeUntilAnswered(first, 'kept');
  await old.stop();
  await run('cp', ['-a', dataDir(), copyDir()]); // owners and modes as they are

  const lost = await start();
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
  await rm(dataDir(), { recursive: true });
  await run('cp', ['-a', copyDir(), dataDir()]);
  forgetPromises(); // of answers that are lost with their records

  const restored = await start();
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
  const reconciled = await runToEnd('reconcile.cli.js', env);
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
  // Nothing was taken under it, so that it is free again; and it is declined again.
  const decline = await charge(api, 'declined', { payment_method: 'pm_card_visa_chargeDeclined' });
  expect([decline.status, decline.body.charge]).toEqual([402, declined.body.charge]);
  expect(await taken(sandboxUrl)).toBe(4);
  await until(async () => {
    const { body } = await send(`${api}/orders/order-1`);
    return body.status === 'paid' && body.charge === paid.body.id && body.fulfillment !== null;
  });
  expect((await runToEnd('reconcile.cli.js', env)).exit).toBe(0);
  const audited = await runToEnd('audit.cli.js', env);
  expect([audited.exit, audited.output]).toEqual([0, expect.stringContaining(' 0 findings')]);
});
