import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { expectCleanBooks } from '../support/books.js';
import { charge, getCharge } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';

/** The cost of a charge in PostgreSQL does not grow with the number of charges or jobs. */
let service: Service;
beforeAll(async () => {
  service = await startService({ env: { DATABASE_POOL_SIZE: '1' } }); // one session reports all counters together
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

const CHARGES = 2_000;

/** How often an index was used, or how many rows of a table were read, according to PostgreSQL's statistics. */
const count = async (sql: string) => {
  const { rows } = await service.db.query<{ name: string; count: number }>(sql);
  return Object.fromEntries(rows.map(({ name, count }) => [name, count]));
};
const scans = () =>
  count(`SELECT indexrelname AS name, idx_scan::int AS count FROM pg_stat_user_indexes`);
const rowsLookedAt = () =>
  count(`SELECT relname AS name, (seq_tup_read + COALESCE(idx_tup_fetch, 0))::int AS count
         FROM pg_stat_user_tables`);
const rowsUpdated = () =>
  count(`SELECT relname AS name, n_tup_upd::int AS count FROM pg_stat_user_tables`);

test('a charge is found by its key, and does not use the queue', async () => {
  const { apiUrl, db } = service;
  // Enough rows, copied from one, for an index to pay off.
  await charge(apiUrl, 'before');
  for (const [table, names] of [
    ['charges', ['id', 'processor_reference']],
    ['idempotency_records', ['key', 'resource_id']],
  ] as const)
    await db.query(`
      INSERT INTO ${table} SELECT (jsonb_populate_record(one, jsonb_build_object(
        ${names.map((name) => `'${name}', '${name}' || n`).join(', ')}))).*
      FROM ${table} AS one, generate_series(2, ${CHARGES}) AS n`);
  // Now PostgreSQL knows that few records are unfinished and few charges are pending.
  await db.query('ANALYZE');
  const before = { scans: await scans(), rows: await rowsLookedAt(), updated: await rowsUpdated() };
  const { body } = await charge(apiUrl, 'measured');
  await charge(apiUrl, 'after');
  await until(async () => {
    // A session reports its counters after its work, each when its lock is free, so not all at the same time.
    await getCharge(apiUrl, body.id);
    const updated = await rowsUpdated();
    const used = await scans();
    return (
      updated.idempotency_records! - before.updated.idempotency_records! >= 2 &&
      used.charges_pkey! - before.scans.charges_pkey! >= 2
    );
  });
  expect(await scans()).toMatchObject({
    idempotency_records_unfinished: 0,
    idempotency_records_by_expiry: 0,
    charges_one_live_per_order: 0,
  });
  expect((await rowsLookedAt()).charges! - before.rows.charges!).toBeLessThan(CHARGES / 10);
  expect((await rowsLookedAt())._private_jobs).toBe(0);
  const { rows } = await db.query(
    `SELECT count(*)::int AS waiting, (SELECT count(*)::int FROM graphile_worker._private_jobs) AS jobs
     FROM events WHERE relayed_at IS NULL`,
  );
  expect(rows).toEqual([{ waiting: 3, jobs: 0 }]);
  await db.query(`DELETE FROM charges WHERE processor_reference LIKE 'processor_reference%'`);
  await db.query(`DELETE FROM idempotency_records WHERE resource_id LIKE 'resource_id%'`);
});
