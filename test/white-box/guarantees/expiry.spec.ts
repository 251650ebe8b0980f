import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { deleteExpiredBatch } from '../../../src/idempotency/due-records.js';
import { expectCleanBooks, ledger, paymentsOf } from '../../support/books.js';
import { openDatabase, type OpenDatabase } from '../../support/open-database.js';
import { charge, chargeUntilAnswered, lookUp, send, type Reply } from '../../support/raw-client.js';
import { forgetPromises } from '../../support/retry-promise.js';
import { startService, type Service } from '../../support/service.js';
import { expireIn } from '../../support/time.js';
import { until } from '../../support/until.js';

/** The stored answer expires; the object that the key made does not. The charge's primary key never expires. */
let service: Service;
let database: OpenDatabase;
beforeAll(async () => {
  // Fifty parallel charges take longer than the default on a busy machine.
  service = await startService({ env: { PROCESSOR_TIMEOUT_MS: '60000' } });
  database = await openDatabase(service.databaseUrl);
});
// The test expires records early, by SQL.
afterAll(() => expectCleanBooks({ ...service, ttlSeconds: 0 }));
afterAll(async () => {
  await database.close();
  await service.stop();
});

const DECLINED = { payment_method: 'pm_card_visa_chargeDeclined' };
const FIFTY = Array.from({ length: 50 });
const ONE_SECOND = 1;

const reap = () => deleteExpiredBatch(database.db, 500);
const recordsOf = (key: string) =>
  database.db.query<{ state: string; expires_at: Date | null }>(
    'SELECT state, expires_at FROM idempotency_records WHERE key = $1',
    [key],
  );

function expectExpired(reply: Reply, chargeId: string, retry: 'no' | 'new_key' = 'no'): void {
  expect(reply).toMatchObject({
    status: 409,
    body: {
      code: 'idempotency_key_expired',
      retry,
      resource: { object: 'charge', id: chargeId, url: `/charges/${chargeId}` },
    },
  });
  expect(reply.headers).not.toHaveProperty('idempotent-replayed');
  expect(reply.headers).not.toHaveProperty('idempotency-expires');
}

test('a stored answer expires seven days after its completion, and a replay does not extend that', async () => {
  const { apiUrl, db } = service;
  const first = await charge(apiUrl, 'seven days');
  const { rows } = await db.query<{ seconds: number }>(
    `SELECT EXTRACT(EPOCH FROM expires_at - completed_at)::int AS seconds
     FROM idempotency_records WHERE key = 'seven days'`,
  );
  expect(rows).toEqual([{ seconds: 7 * 24 * 3600 }]);
  const before = await recordsOf('seven days');
  const replay = await charge(apiUrl, 'seven days');
  expect(replay.headers['idempotency-expires']).toBe(first.headers['idempotency-expires']);
  expect(await recordsOf('seven days')).toEqual(before);
});

test('before its expiry the answer is replayed; after it, the charge is shown instead', async () => {
  const { apiUrl, db, sandboxUrl } = service;
  const first = await charge(apiUrl, 'both sides');
  await expireIn(db, 'both sides', 30);
  await reap();
  expect((await charge(apiUrl, 'both sides')).text).toBe(first.text);
  expect((await lookUp(apiUrl, 'both sides')).body.state).toBe('completed');

  await expireIn(db, 'both sides', -ONE_SECOND);
  expectExpired(await charge(apiUrl, 'both sides'), first.body.id);
  expect(await recordsOf('both sides')).toHaveLength(1); // expired, but the reaper has not run
  await reap();
  expect(await recordsOf('both sides')).toEqual([]);
  expectExpired(await charge(apiUrl, 'both sides'), first.body.id); // the same after the reaper has run
  expect(await paymentsOf(sandboxUrl, first.body.id)).toHaveLength(1);
});

test('the answer is the same before and after the reaper', async () => {
  const { apiUrl, db } = service;
  await charge(apiUrl, 'same bytes');
  await expireIn(db, 'same bytes', -ONE_SECOND);
  const [before] = [await charge(apiUrl, 'same bytes'), await reap()];
  const after = await charge(apiUrl, 'same bytes');
  const withoutRequestId = (reply: Reply) => ({ ...reply.body, request_id: undefined });
  expect(withoutRequestId(after)).toEqual(withoutRequestId(before));
});

describe.each(['before the reaper', 'after the reaper'])('%s', (when) => {
  const expire = async (key: string) => {
    await expireIn(service.db, key, -ONE_SECOND);
    if (when === 'after the reaper') await reap();
  };

  test('fifty concurrent requests with an expired key charge nothing', async () => {
    const { apiUrl, sandboxUrl } = service;
    const key = `fifty ${when}`;
    const first = await charge(apiUrl, key);
    await expire(key);
    const replies = await Promise.all(FIFTY.map(() => charge(apiUrl, key)));
    for (const reply of replies) expectExpired(reply, first.body.id);
    expect(await paymentsOf(sandboxUrl, first.body.id)).toHaveLength(1);
  });

  test('another body, valid or invalid, gets the same answer', async () => {
    const { apiUrl } = service;
    const key = `body ${when}`;
    const first = await charge(apiUrl, key);
    await expire(key);
    expectExpired(await charge(apiUrl, key, { amount: 9900 }), first.body.id);
    expectExpired(await charge(apiUrl, key, { amount: -1 }), first.body.id);
    expectExpired(await charge(apiUrl, key, { surprise: true }), first.body.id);
  });

  test('a failed charge allows a new key, because nothing was taken', async () => {
    const { apiUrl, sandboxUrl } = service;
    const key = `declined ${when}`;
    const first = await charge(apiUrl, key, DECLINED);
    await expire(key);
    expectExpired(await charge(apiUrl, key, DECLINED), first.body.charge, 'new_key');
    expectExpired(await charge(apiUrl, key), first.body.charge, 'new_key');
    expect(await paymentsOf(sandboxUrl, first.body.charge)).toEqual([]);
  });

  test('a lookup says expired and names the object, nothing else', async () => {
    const { apiUrl } = service;
    const key = `look up ${when}`;
    const { body } = await charge(apiUrl, key);
    await expire(key);
    expect((await lookUp(apiUrl, key)).body).toEqual({
      key,
      operation: 'POST /charges',
      state: 'expired',
      resource: { object: 'charge', id: body.id, url: `/charges/${body.id}` },
      status: null,
      attempts: null,
      needs_attention: null,
      first_seen_at: null,
      completed_at: null,
      expires_at: null,
    });
  });

  test('on another operation the key is unused, and the charge is unchanged', async () => {
    const { apiUrl, sandboxUrl } = service;
    const key = `order ${when}`;
    const first = await charge(apiUrl, key);
    const items = [{ sku: 'tea', quantity: 1, unit_amount: 300 }];
    const order = () => send(`${apiUrl}/orders`, { key, body: { currency: 'eur', items } });
    expect(await order()).toMatchObject({ status: 422, body: { code: 'idempotency_key_reused' } });
    await expire(key);
    forgetPromises(); // the key was used until it expired
    const made = await order();
    expect(made.status).toBe(201);
    expect((await order()).text).toBe(made.text);
    expect((await lookUp(apiUrl, key)).body).toMatchObject({
      operation: 'POST /orders',
      state: 'completed',
      resource: { object: 'order', id: made.body.id },
    });
    // The key now belongs to the order, so the charge's retry gets 422. After the order's record expires, it gets the
    // charge.
    expect((await charge(apiUrl, key)).status).toBe(422);
    await expire(key);
    expectExpired(await charge(apiUrl, key), first.body.id);
    expect((await lookUp(apiUrl, key)).body).toMatchObject({
      state: 'expired',
      resource: { object: 'order', id: made.body.id }, // the newer of the two
    });
    expect(await paymentsOf(sandboxUrl, first.body.id)).toHaveLength(1);
  });

  test('for another account the key is unused', async () => {
    const { apiUrl } = service;
    const key = `account ${when}`;
    const ours = await charge(apiUrl, key);
    await expire(key);
    const theirs = await charge(apiUrl, key, {}, { apiKey: 'sk_test_globex' });
    expect(theirs.status).toBe(201);
    expect(theirs.body.id).not.toBe(ours.body.id);
  });
});

describe('the reaper', () => {
  test('never removes an unfinished record, however old it is', async () => {
    const { apiUrl, db, gate } = service;
    const open = gate.close();
    const first = charge(apiUrl, 'unfinished');
    await gate.held(1);
    await db.query(
      `UPDATE idempotency_records SET first_seen_at = first_seen_at - interval '1 year'
       WHERE key = 'unfinished'`,
    );
    await reap();
    expect(await recordsOf('unfinished')).toEqual([{ state: 'in_progress', expires_at: null }]);
    open();
    expect((await first).status).toBe(201);
  });

  test('removes only expired records, in batches, even with three concurrent reapers', async () => {
    const { apiUrl, db } = service;
    const stays = await charge(apiUrl, 'stays');
    const keys = FIFTY.map((_, i) => `reaped ${i}`);
    const made = await Promise.all(keys.map((key) => charge(apiUrl, key)));
    await Promise.all(keys.map((key) => expireIn(db, key, -ONE_SECOND)));
    const batch = () => deleteExpiredBatch(database.db, 7);
    while ((await Promise.all([batch(), batch(), batch()])).some((listed) => listed > 0));
    for (const key of keys) expect(await recordsOf(key)).toEqual([]);
    expect((await charge(apiUrl, 'stays')).text).toBe(stays.text);
    expectExpired(await charge(apiUrl, keys[0]!), made[0]!.body.id);
  });

  test('does not change the answers of late retries while it runs, and nothing is charged again', async () => {
    const { apiUrl, db, sandboxUrl } = service;
    const keys = FIFTY.slice(30).map((_, i) => `race ${i}`);
    const made = await Promise.all(keys.map((key) => charge(apiUrl, key)));
    const payments = (await ledger(sandboxUrl)).length;
    for (let round = 0; round < 3; round++) {
      await Promise.all(keys.map((key) => expireIn(db, key, -ONE_SECOND).catch(() => undefined)));
      const retries = keys.flatMap((key) => [charge(apiUrl, key), charge(apiUrl, key)]);
      const [replies] = await Promise.all([Promise.all(retries), reap(), reap()]);
      replies.forEach((reply, i) => expectExpired(reply, made[Math.floor(i / 2)]!.body.id));
    }
    expect(await ledger(sandboxUrl)).toHaveLength(payments);
  });

  test('removes a record in a running worker: the key expires three seconds after its completion, then the record is gone', async () => {
    const { sandboxUrl } = service;
    const short = { IDEMPOTENCY_TTL_SECONDS: '3', IDEMPOTENCY_REAP_INTERVAL_SECONDS: '1' };
    const api = await service.startApi(short);
    const workers = [await service.startWorker(short), await service.startWorker(short)];
    try {
      const first = await charge(api.url, 'end to end');
      await until(async () => (await recordsOf('end to end')).length === 0);
      expect(Date.now()).toBeGreaterThanOrEqual(
        Date.parse(String(first.headers['idempotency-expires'])),
      );
      expectExpired(await chargeUntilAnswered(api.url, 'end to end'), first.body.id);
      expect((await lookUp(api.url, 'end to end')).body.state).toBe('expired');
      expect(await paymentsOf(sandboxUrl, first.body.id)).toHaveLength(1);
    } finally {
      await Promise.all([api, ...workers].map((program) => program.stop()));
    }
  });
});
