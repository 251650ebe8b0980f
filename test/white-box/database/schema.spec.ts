import { readFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { readTables, type Table } from '../../../src/database/schema/catalogue.js';
import { withDiagram } from '../../../src/database/schema/schema-diagram.js';
import { schemaSql } from '../../../src/database/schema/schema-sql.js';
import { freshDatabase, testDatabaseUrl, type TestDatabase } from '../../support/database.js';

/** When one of the first two fails, `npm run schema` writes the files again. */
let database: TestDatabase;
let migrated: Table[];
let schema: string;
beforeAll(async () => {
  database = await freshDatabase();
  migrated = await tablesOf(database.url);
  schema = await readFile('migrations/schema.sql', 'utf8');
});
afterAll(() => database.drop());

async function tablesOf(url: string, before = ''): Promise<Table[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(before);
    return await readTables(client);
  } finally {
    await client.end();
  }
}

test('migrations/schema.sql is the schema that the migrations make', () => {
  expect(schema).toBe(schemaSql(migrated));
});

test('the diagram of docs/schema.md shows its keys and references', async () => {
  const page = await readFile('docs/schema.md', 'utf8');
  expect(page).toBe(withDiagram(page, migrated));
  const drawn = [...page.matchAll(/^ {2}(\w+) \{$/gm)].map(([, table]) => table);
  const named = [...page.matchAll(/^- (.+):/gm)].flatMap(([, list]) =>
    [...list!.matchAll(/`(\w+)`/g)].map(([, table]) => table),
  );
  expect([...drawn, ...named].sort()).toEqual(migrated.map(({ name }) => name).sort());
});

test('each table has a comment that says what a row is and who writes it', () => {
  expect(migrated.length).toBeGreaterThan(20);
  for (const { name, comment } of migrated)
    expect([name, comment]).toEqual([name, expect.stringMatching(/\b(written|writes?)\b.*\.$/i)]);
});

test('each constraint is valid, and each key of an account begins with it', () => {
  const constraints = migrated.flatMap((table) => table.constraints);
  expect(constraints.filter(({ valid }) => !valid)).toEqual([]);
  const keys = constraints.filter(({ kind }) => kind !== 'c');
  const others = keys.filter(({ columns }) => columns[0] !== 'account_id');
  expect(others.map(({ name }) => name)).toEqual([
    'accounts_pkey', // not of one account: read before the account is known, or about all accounts
    'api_keys_pkey',
    'idempotency_records_resource_key', // contains it: white-box/operation/first-plans.spec.ts
    'processor_events_pkey',
    'reconciliation_runs_pkey',
    'reconciliation_differences_pkey',
    'reconciliation_differences_run_fkey',
  ]);
  const second = keys.find(({ name }) => name === 'idempotency_records_resource_key');
  expect(second?.columns).toEqual(['resource_id', 'account_id']);
});

describe('migrations/schema.sql in an empty database', () => {
  const name = `loaded_${randomBytes(5).toString('hex')}`;
  let admin: pg.Client;
  beforeAll(async () => {
    admin = new pg.Client({ connectionString: testDatabaseUrl('postgres') });
    await admin.connect();
    await admin.query(`CREATE DATABASE ${name}`);
  });
  afterAll(async () => {
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  });

  test('makes the same tables as the migrations', async () => {
    expect(await tablesOf(testDatabaseUrl(name), schema)).toEqual(migrated);
  });

  test.each([
    'ALTER TABLE orders ADD COLUMN more text',
    'ALTER TABLE orders ALTER COLUMN version SET DEFAULT 1',
    'ALTER TABLE orders DROP CONSTRAINT orders_paid_has_charge',
    'CREATE INDEX more ON orders (status)',
    `COMMENT ON COLUMN orders.status IS 'More.'`,
  ])('after %s the tables differ', async (change) => {
    const tables = await tablesOf(testDatabaseUrl(name), `BEGIN; ${change}`);
    expect(schemaSql(tables)).not.toBe(schema);
  });
});

test('a parked payment is not resolved without saying how', async () => {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(
    `INSERT INTO parked_payments (account_id, processor_reference, charge_id, amount, currency, reason)
     VALUES ('acct_1', 'pi_1', 'ch_1', 1, 'eur', 'second_payment')`,
  );
  for (const half of ['resolved_at = now()', `resolution = 'refunded'`])
    await expect(client.query(`UPDATE parked_payments SET ${half}`)).rejects.toThrow(
      'parked_payments_resolved_says_how',
    );
  await client.end();
});
