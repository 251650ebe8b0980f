import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { deriveId } from '../../support/internals.js';
import { napAt } from '../../support/api-process.js';
import { expectCleanBooks } from '../../support/books.js';
import { holdStatements } from '../../support/held-statement.js';
import { charge, getCharge, send, type Reply } from '../../support/raw-client.js';
import type { Running, Service } from '../../support/service.js';
import { expireIn } from '../../support/time.js';
import { until } from '../../support/until.js';
import { chargeOf } from '../../support/ways.js';
import {
  accountOf,
  declined,
  event,
  intent,
  leavePending,
  newEventId,
  paymentOf,
  startListening,
  statesOf,
  statusOf,
  notify,
  eventTypesOf,
  parked,
  parkedInMetrics,
} from './incoming.support.js';

/** Notifications arrive late, early, and out of order. */
let service: Service;
let worker: Running | undefined;
beforeAll(async () => {
  service = await startListening();
});
afterEach(async () => {
  await worker?.stop();
  worker = undefined;
  service.gate.be('open');
});
afterAll(async () => {
  try {
    await chargesEnded();
    await expectCleanBooks(service);
  } finally {
    await service.stop();
  }
});

/** The worker. Its sweep cannot reach the processor, so only notifications end charges. */
async function startWorkerWithoutProcessor(): Promise<void> {
  service.gate.be('refusing');
  worker = await service.startWorker();
}

/** The sweep ends what no test has ended. */
async function chargesEnded(): Promise<void> {
  await service.db.query(
    'UPDATE idempotency_records SET next_attempt_at = now() WHERE next_attempt_at > now()',
  );
  worker = await service.startWorker();
  await until(async () => {
    const { rows } = await service.db.query(`SELECT 1 FROM charges WHERE status = 'pending'`);
    return rows.length === 0;
  });
  await worker.stop();
}

/** A database restored from before the charge. The returned function restores a newer one. */
async function restoreOlderBackup(table: 'charges' | 'refunds', id: string) {
  const { db } = service;
  const { rows: objects } = await db.query(`DELETE FROM ${table} WHERE id = $1 RETURNING *`, [id]);
  const { rows: records } = await db.query(
    'DELETE FROM idempotency_records WHERE resource_id = $1 RETURNING *',
    [id],
  );
  expect([objects.length, records.length]).toEqual([1, 1]);
  return async () => {
    await insert('idempotency_records', records[0]);
    await insert(table, objects[0]);
  };
}

async function insert(table: string, row: Record<string, unknown>): Promise<void> {
  await service.db.query(
    `INSERT INTO ${table} SELECT * FROM json_populate_record(NULL::${table}, $1)`,
    [JSON.stringify(row, (_, value) => (isBytes(value) ? hexOf(value) : value))],
  );
}
const isBytes = (value: unknown): value is { data: number[] } =>
  (value as { type?: string } | null)?.type === 'Buffer';
const hexOf = ({ data }: { data: number[] }) => `\\x${Buffer.from(data).toString('hex')}`;

describe('a notification before the charge', () => {
  test('that has not committed yet waits, and is applied afterwards', async () => {
    const sleeper = await service.startApiProcess({ naps: true });
    const order = await chargeOf('a transaction', service.apiUrl, 'uncommitted');
    const body = { ...order, payment_method: DECLINED };
    const inTheTransaction = napAt('reserve-written');
    const reply = charge(sleeper.url, 'uncommitted', body, inTheTransaction);
    await sleeper.asleep();
    await expectKept('uncommitted', async () => {
      sleeper.wake();
      return reply;
    });
    await sleeper.kill();
  });

  test('whose single statement has not ended yet waits, and is applied afterwards', async () => {
    const key = 'in its statement';
    const body = { payment_method: DECLINED };
    const held = await holdStatements({ ...service, beat: 'reserve', keys: [key], body });
    await expectKept(key, async () => {
      await held.release();
      return held.replies[0]!;
    });
  });

  /** @param commit lets the reserving charge commit, and returns its answer. */
  async function expectKept(key: string, commit: () => Promise<Reply>): Promise<void> {
    const account = await demoAccount();
    const id = deriveId('ch', account, 'POST /charges', key);
    const early = event('payment_intent.payment_failed', declined({ id, account }, GENERIC));
    await notify(service.apiUrl, early);
    expect(await statesOf(service, early.id)).toEqual(['waiting']);

    expect(await commit()).toMatchObject({
      status: 402,
      body: { decline_code: 'generic_decline' },
    });
    worker = await service.startWorker();
    await until(async () => (await statesOf(service, early.id))[0] === 'applied');
    expect(await eventTypesOf(service, id)).toEqual(['charge.failed']);
  }

  test('that does not exist waits and is applied when it appears; the client gets the answer', async () => {
    const pending = await leavePending(service, 'restored', 'losing');
    const restore = await restoreOlderBackup('charges', pending.id);
    const early = event('payment_intent.succeeded', await paymentOf(service, pending));
    await notify(service.apiUrl, early);
    await startWorkerWithoutProcessor();
    await oneRound();
    expect(await statesOf(service, early.id)).toEqual(['waiting']);
    expect((await getCharge(service.apiUrl, pending.id)).status).toBe(404);

    await restore();
    await until(async () => (await statesOf(service, early.id))[0] === 'applied');
    const retry = await charge(service.apiUrl, 'restored');
    expect(retry).toMatchObject({ status: 201, body: { id: pending.id, status: 'succeeded' } });
    expect(retry.headers['idempotent-replayed']).toBe('true');
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.succeeded']);
  });

  test('that its client makes again is paid once', async () => {
    const pending = await leavePending(service, 'made again', 'losing');
    await restoreOlderBackup('charges', pending.id);
    const early = event('payment_intent.succeeded', await paymentOf(service, pending));
    await notify(service.apiUrl, early);
    const again = await charge(service.apiUrl, 'made again');
    expect(again).toMatchObject({ status: 201, body: { id: pending.id } });
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, early.id))[0] === 'applied');
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.succeeded']);
  });

  test('that never appears: the notification is removed after thirty days', async () => {
    const missing = await chargeThatNeverComes();
    const [young, old] = [
      event('payment_intent.succeeded', intent(missing)),
      event('payment_intent.succeeded', intent(missing)),
    ];
    for (const each of [young, old]) await notify(service.apiUrl, each);
    await receivedAgo(young.id, '29 days 23 hours 50 minutes');
    await receivedAgo(old.id, '30 days 1 second');
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, old.id)).length === 0);
    expect(await statesOf(service, young.id)).toEqual(['waiting']);
    await service.db.query('DELETE FROM processor_events WHERE id = $1', [young.id]);
  });

  test('that was applied is kept for thirty days, as long as it may be delivered again', async () => {
    const { body } = await charge(service.apiUrl, 'remembered');
    const of = { id: body.id, account: await demoAccount() };
    const paid = await paymentOf(service, of);
    const [young, old] = [
      event('payment_intent.succeeded', paid, newEventId()),
      event('payment_intent.succeeded', paid, newEventId()),
    ];
    for (const each of [young, old]) await notify(service.apiUrl, each);
    await receivedAgo(young.id, '29 days 23 hours 50 minutes');
    await receivedAgo(old.id, '30 days 1 second');
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, old.id)).length === 0);
    expect(await statesOf(service, young.id)).toEqual(['applied']);
    // A later repeat would change nothing.
    const before = (await getCharge(service.apiUrl, of.id)).text;
    await notify(service.apiUrl, old);
    expect((await getCharge(service.apiUrl, of.id)).text).toBe(before);
    expect(await eventTypesOf(service, of.id)).toEqual(['charge.succeeded']);
  });

  test('that could not be applied for thirty days is parked and counted', async () => {
    const pending = await leavePending(service, 'never applied', 'losing');
    const restore = await restoreOlderBackup('charges', pending.id);
    const paid = event('payment_intent.succeeded', await paymentOf(service, pending));
    await notify(service.apiUrl, paid);
    await service.db.query(
      `UPDATE processor_events SET fact = (fact::jsonb || '{"answer":{"kind":"unknown"}}')::json WHERE id = $1`,
      [paid.id],
    );
    const [before, list] = [await parkedInMetrics(service), await parked(service, pending.id)];
    await restore();
    await receivedAgo(paid.id, '30 days 1 second');
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, paid.id))[0] !== 'waiting');
    expect(await statesOf(service, paid.id)).toEqual(['parked']);
    const { id: reference, amount } = paid.data.object;
    expect(await parked(service, pending.id)).toEqual([
      ...list,
      { reference, reason: 'never_applied', amount: String(amount) },
    ]);
    expect(await parkedInMetrics(service)).toBe(before + 1);
  });

  test('that is too old is parked, even if an older one of another account cannot be', async () => {
    const { body } = await charge(service.apiUrl, 'behind a bad one');
    const of = { id: body.id, account: await demoAccount() };
    const old = event('payment_intent.succeeded', intent(of));
    const theirs = await charge(service.apiUrl, 'bad one', {}, { apiKey: 'sk_test_globex' });
    const bad = { id: theirs.body.id, account: await accountOf(service, theirs.body.id) };
    await leaveWaiting(old, of);
    await leaveWaiting(event('payment_intent.succeeded', intent(bad), 'evt_bad'), bad);
    await service.db.query(
      `UPDATE processor_events SET fact = '{}', received_at = received_at - interval '1 hour' WHERE id = 'evt_bad'`,
    );
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, old.id))[0] === 'parked');
    expect(await parked(service, of.id)).toMatchObject([{ reason: 'never_applied' }]);
    expect(await statesOf(service, 'evt_bad')).toEqual(['waiting']);
    await service.db.query(`DELETE FROM processor_events WHERE id = 'evt_bad'`);
  });

  test('that could not be applied to a failed charge: its client may not use a new key', async () => {
    const method = { payment_method: DECLINED };
    const { body } = await charge(service.apiUrl, 'failed and never applied', method);
    const of = { id: String(body.charge), account: await demoAccount() };
    const old = event('payment_intent.succeeded', intent(of));
    await leaveWaiting(old, of);
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, old.id))[0] === 'parked');
    await letExpire('failed and never applied', 'charges', of.id);
    expect(await charge(service.apiUrl, 'failed and never applied', method)).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no', resource: { id: of.id } },
    });
  });

  test('with another account in its metadata is not applied', async () => {
    const pending = await leavePending(service, 'two accounts', 'losing');
    const { rows } = await service.db.query<{ id: string }>(
      'SELECT id FROM accounts WHERE id <> $1 LIMIT 1',
      [pending.account],
    );
    const wrong = intent({ id: pending.id, account: rows[0]!.id });
    const [unknown, theirs] = [
      event('payment_intent.succeeded', intent({ ...pending, account: 'acct_unknown' })),
      event('payment_intent.succeeded', wrong),
    ];
    for (const each of [unknown, theirs]) await notify(service.apiUrl, each);
    await startWorkerWithoutProcessor();
    await oneRound();
    expect(await statesOf(service, theirs.id)).toEqual(['waiting']);
    expect(await statesOf(service, unknown.id)).toEqual([]); // another installation’s: not stored
    expect(await statusOf(service, pending.id)).toBe('pending');
    // With its own account, it is applied.
    await notify(
      service.apiUrl,
      event('payment_intent.succeeded', await paymentOf(service, pending)),
    );
    expect(await statusOf(service, pending.id)).toBe('succeeded');
  });
});

describe('among waiting notifications', () => {
  test('a hundred and fifty that cannot be applied yet do not block others', async () => {
    const pending = await leavePending(service, 'behind many', 'losing');
    const restore = await restoreOlderBackup('charges', pending.id);
    const early = event('payment_intent.succeeded', await paymentOf(service, pending));
    await notify(service.apiUrl, early);
    // Older ones, about missing refunds of an existing charge.
    await service.db.query(
      `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact, received_at)
       SELECT processor, 'evt_old_' || n, 'refund.created', account_id, charge_id, 're_absent', 'waiting', fact,
         received_at - interval '1 hour'
       FROM processor_events, generate_series(1, 150) AS n WHERE id = $1`,
      [early.id],
    );
    await restore();
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, early.id))[0] === 'applied');
    await service.db.query(`DELETE FROM processor_events WHERE id LIKE 'evt_old_%'`);
  });

  test('one that always fails does not block others', async () => {
    const pending = await leavePending(service, 'behind poison', 'losing');
    const restore = await restoreOlderBackup('charges', pending.id);
    const early = event('payment_intent.succeeded', await paymentOf(service, pending));
    await notify(service.apiUrl, early);
    await service.db.query(
      `INSERT INTO processor_events (processor, id, type, account_id, charge_id, state, fact, received_at)
       SELECT processor, 'evt_poison', type, account_id, charge_id, 'waiting',
         jsonb_set(fact::jsonb, '{id}', '"evt_poison"') || '{"answer": {"kind": "refused"}}',
         received_at - interval '1 hour'
       FROM processor_events WHERE id = $1`,
      [early.id],
    );
    await restore();
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, early.id))[0] === 'applied');
    expect(await statesOf(service, 'evt_poison')).toEqual(['waiting']);
    await service.db.query(`DELETE FROM processor_events WHERE id = 'evt_poison'`);
  });
});

describe('an old notification', () => {
  test('of a failure, after the success, changes nothing', async () => {
    const pending = await leavePending(service, 'failed after succeeded', 'losing');
    const paid = await paymentOf(service, pending);
    await notify(service.apiUrl, event('payment_intent.succeeded', paid));
    const before = (await getCharge(service.apiUrl, pending.id)).text;
    const old = event('payment_intent.payment_failed', declined(pending, { id: paid.id }));
    await notify(service.apiUrl, old);
    expect(await statesOf(service, old.id)).toEqual(['applied']);
    expect((await getCharge(service.apiUrl, pending.id)).text).toBe(before);
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.succeeded']);
  });

  test('of an end that the client already knows changes nothing, however often it arrives', async () => {
    const reply = await charge(service.apiUrl, 'old news');
    const id = reply.body.id;
    const paid = await paymentOf(service, { id, account: await accountOf(service, id) });
    for (let i = 0; i < 3; i++) {
      const again = event('payment_intent.succeeded', paid, newEventId());
      await notify(service.apiUrl, again);
      expect(await statesOf(service, again.id)).toEqual(['applied']);
    }
    expect((await charge(service.apiUrl, 'old news')).text).toBe(reply.text);
    expect(await eventTypesOf(service, id)).toEqual(['charge.succeeded']);
  });
});

describe('a refund', () => {
  test('that failed and has a notification that could not be applied: its client may not use a new key', async () => {
    const { body } = await charge(service.apiUrl, 'paid and refunded in vain');
    const url = `${service.apiUrl}/charges/${body.id}/refunds`;
    const again = () => send(url, { key: 'in vain', body: { amount: 500 } });
    service.gate.be('refusing');
    const id = String((await again()).body.refund);
    service.gate.be('open');
    const account = await demoAccount();
    const object = { id: 're_inVain', object: 'refund', amount: 500, currency: 'eur' };
    const metadata = { refund: id, charge: body.id, account };
    const failed = { ...object, metadata, status: 'failed', failure_reason: 'lost_or_stolen_card' };
    await notify(service.apiUrl, event('refund.failed', failed));
    expect((await again()).status).toBe(402);
    const old = event('refund.updated', object);
    await leaveWaiting(old, { account, charge: body.id, id });
    await startWorkerWithoutProcessor();
    await until(async () => (await statesOf(service, old.id))[0] === 'parked');
    await letExpire('in vain', 'refunds', id);
    expect(await again()).toMatchObject({
      status: 409,
      body: { code: 'idempotency_key_expired', retry: 'no', resource: { id } },
    });
  });

  /** A succeeded refund whose answer was lost. */
  async function leaveRefundPending(key: string) {
    const { body } = await charge(service.apiUrl, `paid for ${key}`);
    service.gate.be('losing');
    const url = `${service.apiUrl}/charges/${body.id}/refunds`;
    const reply = await send(url, { key, body: { amount: 500 } });
    service.gate.be('open');
    expect(reply.status).toBe(504);
    const id = String(reply.body.refund);
    const page = await send(`${service.sandboxUrl}/v1/refunds?limit=100`);
    const all = page.body.data as { metadata: { refund?: string } }[];
    const object = all.find(({ metadata }) => metadata.refund === id)!;
    return { id, chargeId: body.id, url, object };
  }

  test('is settled by its notification, and its client gets that answer', async () => {
    const { id, chargeId, url, object } = await leaveRefundPending('lost refund');
    const news = event('refund.created', object);
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual(['applied']);
    const retry = await send(url, { key: 'lost refund', body: { amount: 500 } });
    expect(retry).toMatchObject({ status: 201, body: { id, status: 'succeeded' } });
    expect(retry.headers['idempotent-replayed']).toBe('true');
    expect((await getCharge(service.apiUrl, chargeId)).body.amount_refunded).toBe(500);
    expect(await eventTypesOf(service, id)).toEqual(['charge.refunded']);
    // A later notification changes nothing.
    const later = event('refund.updated', object);
    await notify(service.apiUrl, later);
    expect(await statesOf(service, later.id)).toEqual(['applied']);
    expect((await getCharge(service.apiUrl, chargeId)).body.amount_refunded).toBe(500);
  });

  test('whose notification arrives before its row is settled when the row exists', async () => {
    const { id, chargeId, object } = await leaveRefundPending('early refund');
    const restore = await restoreOlderBackup('refunds', id);
    const early = event('refund.created', object);
    await notify(service.apiUrl, early);
    await startWorkerWithoutProcessor();
    await oneRound();
    expect(await statesOf(service, early.id)).toEqual(['waiting']);
    await restore();
    await until(async () => (await statesOf(service, early.id))[0] === 'applied');
    expect((await getCharge(service.apiUrl, chargeId)).body.amount_refunded).toBe(500);
  });

  test('is not settled by a notification that it is pending', async () => {
    const { id, object } = await leaveRefundPending('on its way');
    const news = event('refund.created', { ...object, status: 'pending' });
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual([]);
    expect((await send(`${service.apiUrl}/refunds/${id}`)).body.status).toBe('pending');
    await notify(service.apiUrl, event('refund.updated', object));
    expect((await send(`${service.apiUrl}/refunds/${id}`)).body.status).toBe('succeeded');
  });
});

const DECLINED = 'pm_card_visa_chargeDeclined';
const GENERIC = {
  last_payment_error: { code: 'card_declined', decline_code: 'generic_decline' },
};

async function demoAccount(): Promise<string> {
  const { rows } = await service.db.query<{ id: string }>(
    `SELECT account_id AS id FROM api_keys WHERE key_hash = sha256('sk_test_acme')`,
  );
  return rows[0]!.id;
}

async function receivedAgo(id: string, age: string): Promise<void> {
  await service.db.query(
    `UPDATE processor_events SET received_at = now() - $2::interval WHERE id = $1`,
    [id, age],
  );
}

/** A notification of 31 days ago that cannot be applied: it reports no final state. */
async function leaveWaiting(
  { id, type, data }: ReturnType<typeof event>,
  of: { account: string; charge?: string; id: string },
): Promise<void> {
  const { id: reference, amount, currency } = data.object;
  const [charge, refund] = of.charge === undefined ? [of.id] : [of.charge, of.id];
  const fact = { id, type, account: of.account, charge, refund, reference, amount, currency };
  await service.db.query(
    `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact, received_at)
     VALUES ('sandbox', $1, $2, $3, $4, $5, 'waiting', $6, now() - interval '31 days')`,
    [id, type, of.account, charge, refund ?? null, { ...fact, answer: { kind: 'unknown' } }],
  );
}

/** A key whose stored answer has expired. */
async function letExpire(key: string, table: 'charges' | 'refunds', id: string): Promise<void> {
  await service.db.query(
    `UPDATE ${table} SET settled_at = settled_at - interval '8 days' WHERE id = $1`,
    [id],
  );
  await expireIn(service.db, key, -1);
}

async function chargeThatNeverComes() {
  const account = await demoAccount();
  return { id: deriveId('ch', account, 'POST /charges', 'never'), account };
}

/** Resolves when the worker has read all waiting notifications: the oldest one of all is gone. */
async function oneRound(): Promise<void> {
  const old = event('payment_intent.succeeded', intent(await chargeThatNeverComes()));
  await notify(service.apiUrl, old);
  await receivedAgo(old.id, '31 days');
  await until(async () => (await statesOf(service, old.id)).length === 0);
}
