import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { charge, lookUp, send } from '../../support/raw-client.js';
import { startReceiver, type Receiver } from '../../support/receiver.js';
import { startService, type Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import { execute, fillTables, recordStatements, type Statement } from './statements.support.js';

/**
 * A session plans a statement for all values once, perhaps while the tables are empty, and keeps that plan until an
 * ANALYZE: by default autovacuum looks once a minute. On an empty table all indexes cost the same. So a plan could read
 * all rows of an account for one of them, and a charge would cost more with each charge before it.
 */
let service: Service;
let receiver: Receiver;
const recording = recordStatements();
const clients: pg.Client[] = [];

beforeAll(async () => {
  receiver = await startReceiver();
  service = await startService({ env: { IDEMPOTENCY_REAP_INTERVAL_SECONDS: '1' } });
});
afterAll(async () => {
  recording.stop();
  await Promise.all(clients.map((client) => client.end()));
  await service.stop();
  await receiver.stop();
});

/** Of each row. */
const COPIES = 5_000;
/** Blocks of 8 kB. A good plan reads some for each index and row that it uses; a whole table or index has hundreds. */
const MAX_BLOCKS = 100;

test('a plan that was made for empty tables reads as little of full ones', async () => {
  await useEverything();
  const statements = new Map(recording.sent.map((each) => [each.text, each]));
  const session = await connect();
  await session.query('SET plan_cache_mode = force_generic_plan');
  const prepared = await prepare(session, [...statements.values()].filter(isOfOurTables));
  expect(prepared.length).toBeGreaterThan(50);
  await service.db.query(`
    UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now()
    WHERE id = (SELECT min(id) FROM webhook_deliveries)`); // copied below, it is a backlog
  const filler = await connect(); // session_replication_role makes a session forget its plans
  await fillTables(filler, COPIES);
  const costly: string[] = [];
  for (const { text, call } of prepared) {
    const blocks = await blocksRead(session, call);
    if (blocks > MAX_BLOCKS) costly.push(`${blocks} blocks: ${text}`);
  }
  expect(costly).toEqual([]);
}, 120_000);

async function useEverything(): Promise<void> {
  const { apiUrl } = service;
  const post = (path: string, key: string, body: unknown = {}) =>
    send(apiUrl + path, { key, body });
  const put = (path: string, body: unknown) =>
    send(apiUrl + path, { method: 'PUT', headers: { 'if-none-match': '*' }, body });
  const items = [{ sku: 'tea', quantity: 1, unit_amount: 1200 }];
  const order = { currency: 'eur', email: 'a@shop.example', items };

  await post('/webhook-endpoints', 'endpoint', { url: receiver.url, events: ['*'] });
  const worker = await service.startWorker();
  await put('/products/tea', { name: 'Tea', on_hand: 9 });
  for (const id of ['paid', 'canceled']) await put(`/orders/${id}`, order);
  await post('/orders', 'order', order);
  await charge(apiUrl, 'declined', { order: 'paid', payment_method: 'pm_card_chargeDeclined' });
  const paid = await charge(apiUrl, 'paid', { order: 'paid' });
  await charge(apiUrl, 'paid', { order: 'paid' });
  await charge(apiUrl, 'without order');
  await lookUp(apiUrl, 'paid');
  const refund = await post(`/charges/${paid.body.id}/refunds`, 'refund', { amount: 5 });
  await send(`${apiUrl}/orders/canceled`, { method: 'DELETE' });
  const { body } = await send(`${apiUrl}/events`);
  const [newest] = body.data as { id: string }[];
  await post(`/events/${newest!.id}/resend`, 'resend');
  for (const path of [
    `/refunds/${refund.body.id}`,
    `/charges/${paid.body.id}`,
    `/charges/${paid.body.id}/refunds`,
    '/charges?order=paid',
    '/orders',
    '/orders/paid',
    '/products/tea',
  ])
    await send(apiUrl + path);
  const last = ['UPDATE sent_emails SET', 'UPDATE fulfillments SET', 'array_agg(key) AS keys'];
  const sent = (part: string) => recording.sent.some(({ text }) => text.includes(part));
  await until(async () => {
    const waiting = await service.db.query(`
      SELECT 1 FROM events WHERE relayed_at IS NULL
      UNION ALL SELECT 1 FROM webhook_deliveries WHERE status = 'pending'`);
    return last.every(sent) && waiting.rowCount === 0;
  });
  await worker.stop();
}

/**
 * Without those of the queue, which is a library's, and of the notifications, whose rounds read a batch: list-plans. A
 * statement without values has no name, so it is planned each time.
 */
function isOfOurTables({ text, values }: Statement): boolean {
  return values.length > 0 && !/graphile_worker\.|graphile_worker"|processor_events/.test(text);
}

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: service.databaseUrl });
  await client.connect();
  clients.push(client);
  return client;
}

/** Lets the session plan each statement now. */
async function prepare(session: pg.Client, statements: Statement[]) {
  const prepared: { text: string; call: string }[] = [];
  for (const [i, { text, values }] of statements.entries()) {
    const call = execute(`statement_${i}`, values);
    await session.query(`PREPARE statement_${i} AS ${text}`);
    await session.query(`EXPLAIN ${call}`);
    prepared.push({ text, call });
  }
  return prepared;
}

/** Blocks that a statement reads. Those of one that cannot be run again count as none: it inserts a row. */
async function blocksRead(session: pg.Client, call: string): Promise<number> {
  await session.query('BEGIN');
  try {
    const { rows } = await session.query<{
      'QUERY PLAN': [{ Plan: { 'Shared Hit Blocks': number; 'Shared Read Blocks': number } }];
    }>(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${call}`);
    const { Plan } = rows[0]!['QUERY PLAN'][0];
    return Plan['Shared Hit Blocks'] + Plan['Shared Read Blocks'];
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '23505') return 0;
    throw error;
  } finally {
    await session.query('ROLLBACK');
  }
}
