import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { countSteps, fillTables } from '../operation/statements.support.js';
import { openBooks } from './audit.support.js';

/**
 * The audit of a large database ends: its work grows with the rows, not with their square, whether PostgreSQL has
 * analysed the tables or not.
 */
let books: Awaited<ReturnType<typeof openBooks>>;
let session: pg.Client;

/** Of each row. */
const COPIES = 1_000;
/** Steps of all nodes of the plan for each row of the database. A file has dozens of nodes, a quadratic one thousands. */
const MAX_STEPS_PER_ROW = 30;

const FILES = readdirSync('src/audit').filter((name) => name.endsWith('.sql'));

beforeAll(async () => {
  books = await openBooks();
  session = new pg.Client({ connectionString: books.url });
  await session.connect();
  // Otherwise autovacuum analyses some of them meanwhile.
  for (const name of await tables())
    await session.query(`ALTER TABLE ${name} SET (autovacuum_enabled = off)`);
  await fillTables(session, COPIES);
}, 120_000);
afterAll(async () => {
  await session.end();
  await books.close();
});

async function tables(): Promise<string[]> {
  const { rows } = await session.query<{ name: string }>(
    `SELECT oid::regclass::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
  );
  return rows.map(({ name }) => name);
}

async function countRows(): Promise<number> {
  const counts = (await tables()).map((name) => `(SELECT count(*) FROM ${name})`);
  const { rows } = await session.query<{ sum: number }>(
    `SELECT (${counts.join(' + ')})::float8 AS sum`,
  );
  return rows[0]!.sum;
}

describe.each(['without statistics', 'with statistics'])('%s', (statistics) => {
  beforeAll(async () => {
    if (statistics === 'with statistics') await session.query('ANALYZE');
  });

  test.each(FILES)('%s reads each row a few times', async (file) => {
    const statement = readFileSync(`src/audit/${file}`, 'utf8');
    const values = file === 'processor.sql' ? await ledgerValues() : [];
    const steps = await countSteps(session, statement, values);
    expect(steps / (await countRows())).toBeLessThan(MAX_STEPS_PER_ROW);
  });
});

/** The parameters of processor.sql: a ledger that agrees with our rows. */
async function ledgerValues(): Promise<unknown[]> {
  const { rows } = await session.query<{ payments: string; refunds: string }>(`
    SELECT (SELECT json_agg(json_build_object('reference', processor_reference, 'amount', amount, 'currency', currency,
        'charge', id, 'account', account_id, 'names_ours', true))
      FROM charges WHERE status = 'succeeded')::text AS payments,
    (SELECT json_agg(json_build_object('reference', processor_reference, 'amount', amount, 'currency', currency,
        'refund', id, 'charge', charge_id, 'account', account_id))
      FROM refunds WHERE status = 'succeeded')::text AS refunds`);
  const { payments, refunds } = rows[0]!;
  return [payments, refunds, 'sandbox', new Date().toISOString(), '-infinity', 310];
}
