import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { OVERLAP_MINUTES } from '../../../src/openapi/words.js';
import { SESSION_LIMITS_MS } from '../../../src/database/session.js';
import { drained } from '../../effects/effects.support.js';
import { expectCleanBooks } from '../../support/books.js';
import { charge, send } from '../../support/raw-client.js';
import { startService, type Service } from '../../support/service.js';
import { until } from '../../support/until.js';

let service: Service;
let other: pg.Client;
beforeAll(async () => {
  service = await startService();
  other = new pg.Client({ connectionString: service.databaseUrl });
  await other.connect();
});
afterAll(async () => {
  await other.end();
  try {
    await expectCleanBooks(service);
  } finally {
    await service.stop();
  }
});

test('thirty slow lists of one account delay neither a charge nor a list of another', async () => {
  const { apiUrl, db } = service;
  await other.query('BEGIN; LOCK TABLE webhook_endpoints IN ACCESS EXCLUSIVE MODE');
  const slow = Array.from({ length: 30 }, () => send(`${apiUrl}/webhook-endpoints`));
  await until(async () => {
    const { rows } = await db.query(
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return rows.length > 0;
  });
  const body = { amount: 500, currency: 'eur', payment_method: 'pm_card_visa' };
  const globex = { apiKey: 'sk_test_globex' };
  const paid = await send(`${apiUrl}/charges`, { ...globex, key: 'not held up', body });
  expect(paid.status).toBe(201);
  expect((await send(`${apiUrl}/orders`, globex)).status).toBe(200);
  // A list that gets no slot has read nothing and has Retry-After.
  const refused = await Promise.race(slow);
  expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited', retry: 'same_key' } });
  expect(refused.headers['retry-after']).toBe('1');
  await other.query('ROLLBACK');
  await Promise.all(slow);
  expect((await send(`${apiUrl}/webhook-endpoints`)).status).toBe(200);
});

describe('a client that polls a list', () => {
  interface Listed {
    id: string;
    created_at: string;
  }

  async function read(query: string): Promise<Listed[]> {
    const { body } = await send(`${service.apiUrl}/charges?${query}`);
    return body.data as Listed[];
  }

  /** As the document says: from the newest backwards, an overlap beyond the newest known one. */
  async function poll(newestKnown: Listed): Promise<string[]> {
    const until = Date.parse(newestKnown.created_at) - OVERLAP_MINUTES * 60_000;
    const seen: string[] = [];
    for (let query = 'limit=2'; ; query = `limit=2&starting_after=${seen.at(-1)}`) {
      const page = await read(query);
      seen.push(...page.map(({ id }) => id));
      if (page.length < 2 || Date.parse(page.at(-1)!.created_at) < until) return seen;
    }
  }

  test('misses late commits with ending_before, and finds them with the overlap', async () => {
    for (const key of ['a', 'b', 'c']) await charge(service.apiUrl, `before ${key}`);
    await other.query('BEGIN');
    await other.query(
      `INSERT INTO charges (account_id, id, status, amount, currency, payment_method, metadata, processor,
         processor_parameters, failure_code, settled_at)
       SELECT account_id, 'ch_late', 'failed', 1, 'eur', 'pm', '{}', 'sandbox', '{}', 'card_declined', now()
       FROM api_keys WHERE key_hash = sha256('sk_test_acme')`,
    );
    await charge(service.apiUrl, 'meanwhile');
    const [newest] = await read('limit=1');
    await other.query('COMMIT');
    expect(await read(`ending_before=${newest!.id}`)).toEqual([]);
    expect(await poll(newest!)).toContain('ch_late');
    await other.query(`DELETE FROM charges WHERE id = 'ch_late'`);
  });

  test('sees each object within the overlap: no transaction has enough statements to last longer', async () => {
    const transactions = watchTransactions();
    const { apiUrl, db } = service;
    const skus = Array.from({ length: 100 }, (_, index) => `sku-${index}`);
    const put = (path: string, body: object) => send(apiUrl + path, { method: 'PUT', body });
    for (const sku of skus) await put(`/products/${sku}`, { name: 'A cup', on_hand: 1 });
    const items = skus.map((sku) => ({ sku, quantity: 1, unit_amount: 1 }));
    await put('/orders/largest', { currency: 'eur', items, email: 'a@shop.test' });
    const body = { order: 'largest', payment_method: 'pm_card_visa' };
    const paid = await send(`${apiUrl}/charges`, { key: 'largest', body });
    expect(paid.status).toBe(201);
    const refund = await send(`${apiUrl}/charges/${paid.body.id}/refunds`, {
      key: 'back',
      body: {},
    });
    expect(refund.status).toBe(201);
    const worker = await service.startWorker();
    await drained(db);
    await worker.stop();
    const writing = transactions
      .stop()
      .filter((texts) => texts.some((text) => /INTO (charges|refunds|orders|events)\b/.test(text)));
    expect(writing.length).toBeGreaterThanOrEqual(5);
    const most = Math.max(...writing.map((texts) => texts.length));
    const { statement_timeout, idle_in_transaction_session_timeout } = SESSION_LIMITS_MS;
    const longestMs = most * (statement_timeout + idle_in_transaction_session_timeout);
    expect(longestMs).toBeLessThanOrEqual(OVERLAP_MINUTES * 60_000);
  });
});

/** The statements of each transaction of the programs, from BEGIN to COMMIT. */
function watchTransactions(): { stop(): string[][] } {
  const prototype = pg.Client.prototype as { query: unknown };
  const query = prototype.query as (...args: unknown[]) => unknown;
  const ended: string[][] = [];
  const open = new WeakMap<object, string[]>();
  prototype.query = function (this: object, ...args: unknown[]) {
    const [first] = args;
    const text = typeof first === 'string' ? first : (first as { text: string }).text;
    if (/^(BEGIN|START TRANSACTION)/i.test(text)) open.set(this, []);
    open.get(this)?.push(text);
    if (/^COMMIT/i.test(text)) ended.push(open.get(this) ?? []);
    if (/^(COMMIT|ROLLBACK)/i.test(text)) open.delete(this);
    return query.apply(this, args);
  };
  return {
    stop() {
      prototype.query = query;
      return ended;
    },
  };
}
