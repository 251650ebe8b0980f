import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { audit } from '../../../src/audit/audit.js';
import { longOptions, withDatabase } from '../../../src/database/database.js';
import { runToEnd } from '../../operation/operation.support.js';
import { newKey, refund } from '../../refunds/refunds.support.js';
import { paymentsOf } from '../../support/books.js';
import { metric } from '../../support/metrics.js';
import { charge, getCharge } from '../../support/raw-client.js';
import { until } from '../../support/until.js';
import {
  clearLedgers,
  HOUR_MS,
  lose,
  startReconciledService,
  type ReconciledService,
} from './reconcile.support.js';

/** Charges that our books have lost, and payments and charges that contradict each other. */
let service: ReconciledService;
let api: string;
beforeAll(async () => {
  service = await startReconciledService();
  api = service.apiUrl;
});
beforeEach(() => clearLedgers(service));
afterAll(() => service.stop());

describe('a charge that was lost', () => {
  test('charges the customer again if its key is retried before a reconciliation (control)', async () => {
    const key = newKey();
    const { id } = (await charge(api, key)).body;
    await lose(service, id);
    expect((await charge(api, key)).status).toBe(201);
    expect(await paymentsOf(service.sandboxUrl, id)).toHaveLength(2);
  });

  test('is rebuilt with its own id, and a retry of its key finds it', async () => {
    const key = newKey();
    const first = (await charge(api, key, { description: 'two cups' })).body;
    await lose(service, first.id);
    expect(await service.differences()).toEqual([`charge_rebuilt ${first.id}`]);
    expect(await service.differences()).toEqual([]);
    expect(await audit(service.pool)).toEqual([]);

    const again = await charge(api, key, { description: 'two cups' });
    expect([again.status, again.body.code]).toEqual([409, 'idempotency_key_expired']);
    expect(again.body.resource).toMatchObject({ id: first.id });
    expect(await paymentsOf(service.sandboxUrl, first.id)).toHaveLength(1);
    const { body } = await getCharge(api, first.id);
    expect({ ...body, created_at: '', payment_method: '' }).toEqual({
      ...first,
      created_at: '',
      payment_method: '',
    });
  });

  test('is rebuilt once by many concurrent runs', async () => {
    const lost = await Promise.all(
      [1, 2, 3].map(async () => (await charge(api, newKey())).body.id),
    );
    await lose(service, ...lost);
    const found = await Promise.all([
      service.differences(),
      service.differences(),
      service.differences(),
      service.differences(),
    ]);
    expect(found.flat().sort()).toEqual(lost.map((id) => `charge_rebuilt ${id}`).sort());
  });

  test('sends its event again, with the same id', async () => {
    const { id } = (await charge(api, newKey())).body;
    const eventsOf = async () =>
      (await service.db.query(`SELECT id FROM events WHERE cause = $1`, [id])).rows;
    const before = await eventsOf();
    expect(before).toHaveLength(1);
    await lose(service, id);
    expect(await eventsOf()).toEqual([]);
    await service.differences();
    expect(await eventsOf()).toEqual(before);
  });

  test('that failed took nothing and is not rebuilt', async () => {
    const declined = await charge(api, newKey(), { payment_method: 'pm_card_visa_chargeDeclined' });
    await lose(service, declined.body.charge);
    expect(await service.differences()).toEqual([]);
    expect((await getCharge(api, declined.body.charge)).status).toBe(404);
  });

  test.each([
    ['an account that is not here', { account: 'acct_elsewhere' }],
    ['an id that we do not derive', { charge: 'ch_by_hand' }],
  ])('is not rebuilt for %s', async (_what, changes) => {
    const { id } = (await charge(api, newKey())).body;
    await service.db.query(
      `UPDATE sandbox.payment_intents SET metadata = metadata || $2::jsonb
       WHERE metadata ->> 'charge' = $1`,
      [id, JSON.stringify(changes)],
    );
    await lose(service, id);
    const found = await service.differences();
    expect(found.filter((each) => each.startsWith('charge_rebuilt'))).toEqual([]);
    expect(found).toHaveLength('account' in changes ? 0 : 1);
  });
});

test('a payment of a failed charge is parked', async () => {
  const { id } = (await charge(api, newKey())).body;
  await service.db.query(
    `UPDATE charges SET status = 'failed', failure_code = 'abandoned', processor_reference = NULL WHERE id = $1`,
    [id],
  );
  expect(await service.differences()).toEqual([`payment_of_a_failed_charge_parked ${id}`]);
  expect(await service.differences()).toEqual([]);
  expect(await metric(api, 'parked_payments')).toBe(1);
});

test('a charge without a payment is reported, and left to an operator', async () => {
  const { id } = (await charge(api, newKey())).body;
  await service.db.query(`DELETE FROM sandbox.payment_intents WHERE metadata ->> 'charge' = $1`, [
    id,
  ]);
  expect(await service.differences()).toEqual([`charge_without_its_payment ${id}`]);
});

test.each(['{}', '{"charge": "order_5", "refund": "RMA-17"}'])(
  'a charge and a refund whose metadata at the processor became %s are not a difference',
  async (metadata) => {
    const { id } = (await charge(api, newKey())).body;
    expect((await refund(api, id, newKey(), { amount: 500 })).status).toBe(201);
    for (const table of ['payment_intents', 'refunds'])
      await service.db.query(`UPDATE sandbox.${table} SET metadata = $1`, [metadata]);
    expect(await service.differences()).toEqual([]);
  },
);

describe('the command', () => {
  const command = (args: string[] = [], env = service.env) => runToEnd('reconcile.js', env, args);

  test('prints the differences, exits with 1, and the metrics count them', async () => {
    const { id } = (await charge(api, newKey())).body;
    await lose(service, id);
    const first = await command();
    expect(first.output).toMatch(
      new RegExp(`^charge_rebuilt  acct_\\w+  ${id}  1200 eur, pi_\\w+$`, 'm'),
    );
    expect(first.output).toMatch(/^\d+ payments and \d+ refunds of sandbox, 1 differences$/m);
    expect(first.exit).toBe(1);
    expect(await metric(api, 'reconciliation_differences')).toBe(1);

    const second = await command();
    expect([second.exit, second.output]).toEqual([0, expect.stringMatching(/ 0 differences\n$/)]);
    expect(await metric(api, 'reconciliation_differences')).toBe(0);
  });

  test('reads only its span', async () => {
    const { id } = (await charge(api, newKey())).body;
    await lose(service, id);
    const days = 24 * HOUR_MS;
    const to = new Date(Date.now() - days).toISOString();
    expect((await command(['--to', to])).exit).toBe(0);
    expect((await command(['--from', to])).exit).toBe(1);
  });

  test.each([
    [['--from', 'yesterday']],
    [['--from', '1']],
    [['--from', '2026-02-30']],
    [['--since', '2026-01-01']],
    [['--from', '2026-02-01', '--to', '2026-01-01']],
  ])('refuses %j', async (args) => {
    const refused = await command(args);
    expect([refused.exit, refused.output]).toEqual([64, expect.stringContaining('--from')]);
  });

  test('changes nothing and exits with 2 if the ledger cannot be read', async () => {
    const { rows: before } = await service.db.query('SELECT count(*) FROM reconciliation_runs');
    const back = await service.stopSandbox();
    const failed = await command();
    await back();
    expect([failed.exit, failed.output]).toEqual([
      2,
      expect.stringContaining('could not reconcile'),
    ]);
    expect((await service.db.query('SELECT count(*) FROM reconciliation_runs')).rows).toEqual(
      before,
    );
  });

  test('may read for any time, but waits for a lock no longer than a request', async () => {
    const limits = await withDatabase(longOptions(service.databaseUrl), (db) =>
      db.query(
        `SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock`,
      ),
    );
    expect(limits).toEqual([{ statement: '0', lock: '8s' }]);
  });

  test('says what to do if PostgreSQL ends a statement', async () => {
    const locker = await service.db.connect();
    await locker.query('BEGIN; LOCK reconciliation_runs');
    const ended = command();
    await until(async () => {
      const { rows } = await service.db.query(`
        SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO reconciliation_runs%'`);
      return rows.length > 0;
    });
    const { exit, output } = await ended;
    await locker.query('ROLLBACK');
    locker.release();
    expect([exit, output]).toEqual([2, expect.stringMatching(/57014: .* DATABASE_URL/)]);
  });
});
