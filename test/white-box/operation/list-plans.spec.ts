import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { findChargeOfLostOrder } from '../../../src/charges/charge.queries.js';
import type { Tx } from '../../../src/database/database.js';
import { EVENT_TYPES } from '../../../src/events/event.entity.js';
import { EVENT } from '../../../src/events/event.schema.js';
import { send } from '../../support/raw-client.js';
import { startService, type Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import { execute, recordStatements, type Statement } from './statements.support.js';

/**
 * The cost of a page does not grow with the table: every filter, cursor and direction finds its rows in an index, in
 * the order of the list. The same for each round over the waiting notifications.
 */
let service: Service;
let db: pg.Client;
let recording: ReturnType<typeof recordStatements>;

/** Mostly paid, and mostly declined, as when stolen cards are tested. */
const ACCOUNTS = ['acme', 'globex'];
const ROWS = 30_000;

beforeAll(async () => {
  service = await startService();
  db = new pg.Client({ connectionString: service.databaseUrl });
  await db.connect();
  const one = `FROM api_keys WHERE key_hash = sha256('sk_test_acme')`;
  await db.query(`SET session_replication_role = replica`); // the rows are valid; checking that would take longer
  await db.query(`
    INSERT INTO charges (account_id, id, status, amount, currency, payment_method, metadata, order_id, processor,
      processor_parameters, processor_reference, failure_code, settled_at, created_at)
    SELECT account_id, 'ch_' || n, status, 1, 'eur', 'pm', '{}', CASE
        WHEN n % 3 > 0 THEN 'o_' || n WHEN status = 'failed' THEN 'big' END,
      'sandbox', '{}', 'pi_' || n, CASE status WHEN 'failed' THEN 'card_declined' END,
      CASE WHEN status <> 'pending' THEN now() END, now() - interval '1 hour' + n * interval '0.1 second'
    FROM generate_series(1, ${ROWS}) AS n, (
      SELECT account_id, key_hash = sha256('sk_test_acme') AS is_acme FROM api_keys) AS key, LATERAL (SELECT CASE
        WHEN n <= 20 THEN 'pending' WHEN (n <= 40) = is_acme THEN 'failed' ELSE 'succeeded' END AS status) AS of_status`);
  await db.query(`
    INSERT INTO refunds (account_id, id, charge_id, status, amount, currency, processor, processor_parameters, created_at)
    SELECT account_id, 're_' || n, 'ch_' || CASE WHEN n % 2 = 0 THEN 5000 ELSE n END, 'pending', 1, 'eur', 'sandbox', '{}',
      now() - n * interval '1 second' FROM generate_series(1, ${ROWS}) AS n, (SELECT account_id ${one}) AS key`);
  await db.query(`
    INSERT INTO orders (account_id, id, status, currency, total, items, metadata, version, created_at)
    SELECT account_id, 'o_' || n, 'open', 'eur', 1, '[{"sku":"tea","quantity":1,"unit_amount":1}]', '{}', 1, now() - n * interval '1 second'
    FROM generate_series(1, ${ROWS}) AS n, (SELECT account_id ${one}) AS key`);
  await db.query(
    `
    INSERT INTO events (account_id, id, type, cause, data, created_at)
    SELECT account_id, 'evt_' || n, CASE WHEN n > 20 THEN 'charge.failed' ELSE ($1::text[])[n % 6 + 1] END, 'c', $2,
      now() - interval '1 hour' + n * interval '0.1 second'
    FROM generate_series(1, ${ROWS}) AS n, (SELECT account_id ${one}) AS key`,
    [EVENT_TYPES, JSON.stringify(EVENT.example.data)],
  );
  await db.query(`
    INSERT INTO webhook_endpoints (account_id, id, url, events, created_at, deleted_at)
    SELECT account_id, 'we_' || n, 'https://shop.example', '[]', now() - interval '1 hour' + n * interval '0.1 second',
      CASE WHEN n > 40 THEN now() END FROM generate_series(1, ${ROWS}) AS n, (SELECT account_id ${one}) AS key`);
  await db.query(`
    INSERT INTO webhook_deliveries (account_id, id, endpoint_id, event_id, status, attempts, next_attempt_at, created_at)
    SELECT account_id, 'del_' || n, 'we_' || n % 2, 'evt_' || n, 'pending', 1, now() + interval '1 hour',
      now() - n * interval '1 second'
    FROM generate_series(1, ${ROWS}) AS n, (SELECT account_id ${one}) AS key`);
  await db.query(`
    INSERT INTO webhook_attempts (account_id, delivery_id, number, response_status)
    SELECT account_id, id, 1, 500 FROM webhook_deliveries`);
  await db.query(`
    INSERT INTO processor_events (processor, id, type, account_id, charge_id, state, fact, received_at)
    SELECT 'sandbox', state || n, 'payment_intent.succeeded', account_id, 'ch_absent', state, '{}',
      now() - interval '40 days' + n * interval '${60 / ROWS} days'
    FROM generate_series(1, ${ROWS}) AS n, (VALUES ('waiting'), ('applied')) AS each (state), (SELECT account_id ${one}) AS key`);
  await db.query('ANALYZE');
  recording = recordStatements();
}, 120_000);
afterAll(async () => {
  recording.stop();
  await db.end();
  await service.stop();
});

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  Plans?: PlanNode[];
}

/** How many rows of tables and indexes a statement reads. */
function rowsOf(node: PlanNode): number {
  const own = node['Node Type'].endsWith('Scan') && node['Relation Name'] !== undefined;
  const each =
    node['Actual Rows'] +
    (node['Rows Removed by Filter'] ?? 0) +
    (node['Rows Removed by Index Recheck'] ?? 0);
  const below = (node.Plans ?? []).map(rowsOf);
  return below.reduce((sum, rows) => sum + rows, own ? each * node['Actual Loops'] : 0);
}

/** PostgreSQL plans a named statement for its values five times, then generically if that seems as cheap. */
const RUNS = 6;

/** The most rows that a statement reads, however often it has run. */
async function rowsLookedAt({ text, values }: Statement): Promise<number> {
  const rows: number[] = [];
  await db.query(`PREPARE asked AS ${text}`);
  for (let run = 1; run <= RUNS; run++) {
    await db.query('BEGIN');
    const explained = await db.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
      `EXPLAIN (ANALYZE, FORMAT JSON) ${execute('asked', values)}`,
    );
    rows.push(rowsOf(explained.rows[0]!['QUERY PLAN'][0].Plan));
    await db.query('ROLLBACK');
  }
  await db.query('DEALLOCATE asked');
  return Math.max(...rows);
}

const PAGE = 11;

/** The pages of a list with these filters: first, after and before a row in the middle. */
async function expectBounded(
  path: string,
  {
    cursor,
    filters = '',
    account = 'acme',
  }: { cursor: string; filters?: string; account?: string },
): Promise<void> {
  for (const position of ['', `starting_after=${cursor}`, `ending_before=${cursor}`]) {
    recording.sent.length = 0;
    const url = `${service.apiUrl}${path}?${[filters, position].filter(Boolean).join('&')}`;
    const { status } = await send(url, { apiKey: `sk_test_${account}` });
    expect(status).toBe(200);
    const page = recording.sent.findLast(({ text }) => text.includes('ORDER BY created_at'))!;
    const rows = await rowsLookedAt(page);
    if (rows > 8 * PAGE) throw new Error(`${rows} rows for a page of ${url}: ${page.text}`);
  }
}

describe.each(ACCOUNTS)('a page of the charges of %s', (account) => {
  const statuses = ['', 'status=pending', 'status=succeeded', 'status=failed'];
  const orders = ['', 'order=big'];
  test.each(statuses.flatMap((status) => orders.map((order) => [status, order])))(
    'costs the same with %j %j',
    async (...both) => {
      const [from, to] = [50, 10].map((minutes) => new Date(Date.now() - minutes * 60_000));
      const range = `created[gte]=${from!.toISOString()}&created[lt]=${to!.toISOString()}`;
      for (const more of [[], [range]]) {
        const filters = [...both, ...more].filter(Boolean).join('&');
        await expectBounded('/charges', { cursor: `ch_${ROWS / 2}`, filters, account });
      }
    },
  );
});

test.each(EVENT_TYPES)('a page of events costs the same with type=%s', async (type) => {
  await expectBounded('/events', { cursor: `evt_${ROWS / 2}`, filters: `type=${type}` });
});

test.each([
  ['/events', `evt_${ROWS / 2}`],
  ['/orders', `o_${ROWS / 2}`],
  ['/charges/ch_5000/refunds', `re_${ROWS / 2}`],
  ['/webhook-endpoints', 'we_20'],
  ['/webhook-endpoints/we_1/deliveries', `del_${ROWS / 2 + 1}`],
])('a page of %s costs the same', async (path, cursor) => {
  await expectBounded(path, { cursor });
});

test('the charge of a lost order is found by the unique index of live charges', async () => {
  const { rows } = await db.query<{ account_id: string }>(
    `SELECT account_id FROM charges WHERE order_id = 'o_100' AND status = 'succeeded' LIMIT 1`,
  );
  const asked: Statement[] = [];
  const tx = {
    query: async (text: string, values: unknown[]) => (asked.push({ text, values }), []),
  };
  await findChargeOfLostOrder(tx as unknown as Tx, rows[0]!.account_id, 'o_100');
  expect(await rowsLookedAt(asked[0]!)).toBe(1);
});

test('a round over the waiting notifications reads a bounded number of them', async () => {
  const BATCH = 5_000;
  recording.sent.length = 0;
  const worker = await service.startWorker();
  await until(async () => recording.sent.some(({ text }) => /DELETE[^]*'applied'/.test(text)));
  await worker.stop();
  const statements = recording.sent.filter(({ text }) => text.includes('processor_events'));
  expect(statements.length).toBeGreaterThanOrEqual(5);
  for (const statement of statements) {
    const rows = await rowsLookedAt(statement);
    // The cursor, its row, and its object.
    if (rows > 3 * BATCH) throw new Error(`${rows} rows: ${statement.text}`);
  }
});
