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

/** The one with parameters is left to processor-comparison.spec.ts. */
const FILES = readdirSync('src/audit').filter(
  (name) => name.endsWith('.sql') && name !== 'processor.sql',
);

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
    const steps = await countSteps(session, readFileSync(`src/audit/${file}`, 'utf8'));
    expect(steps / (await countRows())).toBeLessThan(MAX_STEPS_PER_ROW);
  });
});
