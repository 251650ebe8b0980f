import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { audit } from '../../../src/audit/audit.js';
import { databaseOptions, TypeOrmDatabase, type Database } from '../../../src/database/database.js';
import { StripeProcessor } from '../../../src/processor/stripe-processor.js';
import { reconcile } from '../../../src/reconciliation/reconcile.js';
import { runToEnd } from '../../operation/operation.support.js';
import { newKey, refund } from '../../refunds/refunds.support.js';
import { paymentsOf } from '../../support/books.js';
import { metric } from '../../support/metrics.js';
import { charge, getCharge, send } from '../../support/raw-client.js';
import { forgetPromises } from '../../support/retry-promise.js';
import { startService, type Service } from '../../support/service.js';

/** Rows are deleted by SQL here, as a failover loses them. restore.spec.ts restores a data directory. */
let service: Service;
let api: string;
let dataSource: DataSource;
let pool: Database;
let processor: StripeProcessor;
beforeAll(async () => {
  service = await startService();
  api = service.apiUrl;
  dataSource = await new DataSource(databaseOptions(service.databaseUrl, 4)).initialize();
  pool = new TypeOrmDatabase(dataSource);
  processor = new StripeProcessor({
    name: 'sandbox',
    secretKey: 'sk_test_reconcile',
    baseUrl: new URL(service.sandboxUrl),
    timeoutMs: 8_000,
  });
});
afterAll(async () => {
  await dataSource.destroy();
  await service.stop();
});

/** Each test has its own ledgers, here and at the processor. */
beforeEach(async () => {
  await service.db.query(
    `TRUNCATE idempotency_records, charges, refunds, orders, events, parked_payments, naive_charges, fulfillments,
       sandbox.payment_intents, sandbox.refunds, sandbox.idempotency_keys CASCADE`,
  );
});

const HOUR_MS = 3_600_000;

/** The differences of the last hour, as `what id`. */
async function differences(): Promise<string[]> {
  const to = new Date();
  const span = { from: new Date(to.getTime() - HOUR_MS), to };
  const found: string[] = [];
  await reconcile(pool, processor, span, ({ invariant, id }) => {
    found.push(`${invariant} ${id}`);
  });
  return found;
}

/** Deletes all rows about it; the processor has forgotten its keys. */
async function lose(...chargeIds: string[]): Promise<void> {
  const { db } = service;
  await db.query(`UPDATE orders SET status = 'open', charge_id = NULL WHERE charge_id = ANY($1)`, [
    chargeIds,
  ]);
  await db.query(`DELETE FROM refunds WHERE charge_id = ANY($1)`, [chargeIds]);
  await db.query(`DELETE FROM charges WHERE id = ANY($1)`, [chargeIds]);
  await loseWhatHangsInTheAir();
}

async function loseWhatHangsInTheAir(): Promise<void> {
  const { db } = service;
  await db.query(`DELETE FROM idempotency_records WHERE operation LIKE 'POST /charges%'
    AND NOT EXISTS (SELECT 1 FROM charges WHERE id = resource_id)
    AND NOT EXISTS (SELECT 1 FROM refunds WHERE id = resource_id)`);
  await db.query(`DELETE FROM events WHERE (type LIKE 'charge.%' OR type = 'order.paid')
    AND NOT EXISTS (SELECT 1 FROM charges WHERE id = cause)
    AND NOT EXISTS (SELECT 1 FROM refunds WHERE id = cause)
    AND NOT EXISTS (SELECT 1 FROM orders WHERE id = cause AND status = 'paid')`);
  await db.query('DELETE FROM sandbox.idempotency_keys');
  forgetPromises();
}

async function newOrder(total: number, order = newKey('order')): Promise<string> {
  const items = [{ sku: 'cup', quantity: 1, unit_amount: total }];
  const made = await send(`${api}/orders/${order}`, {
    method: 'PUT',
    body: { currency: 'eur', items },
  });
  expect(made.status).toBe(201);
  return order;
}

describe('a charge that was lost', () => {
  test('charges the customer again if its key is retried before a reconciliation (control)', async () => {
    const key = newKey();
    const { id } = (await charge(api, key)).body;
    await lose(id);
    expect((await charge(api, key)).status).toBe(201);
    expect(await paymentsOf(service.sandboxUrl, id)).toHaveLength(2);
  });

  test('is rebuilt with its own id, and a retry of its key finds it', async () => {
    const key = newKey();
    const first = (await charge(api, key, { description: 'two cups' })).body;
    await lose(first.id);
    expect(await differences()).toEqual([`charge_rebuilt ${first.id}`]);
    expect(await differences()).toEqual([]);
    expect(await audit(pool)).toEqual([]);

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
    await lose(...lost);
    const found = await Promise.all([differences(), differences(), differences(), differences()]);
    expect(found.flat().sort()).toEqual(lost.map((id) => `charge_rebuilt ${id}`).sort());
  });

  test('sends its event again, with the same id', async () => {
    const { id } = (await charge(api, newKey())).body;
    const eventsOf = async () =>
      (await service.db.query(`SELECT id FROM events WHERE cause = $1`, [id])).rows;
    const before = await eventsOf();
    expect(before).toHaveLength(1);
    await lose(id);
    expect(await eventsOf()).toEqual([]);
    await differences();
    expect(await eventsOf()).toEqual(before);
  });

  test('that failed took nothing and is not rebuilt', async () => {
    const declined = await charge(api, newKey(), { payment_method: 'pm_card_visa_chargeDeclined' });
    await lose(declined.body.charge);
    expect(await differences()).toEqual([]);
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
    await lose(id);
    const found = await differences();
    expect(found.filter((each) => each.startsWith('charge_rebuilt'))).toEqual([]);
    expect(found).toHaveLength('account' in changes ? 0 : 1);
  });
});

describe('a lost charge of an order', () => {
  test('pays it', async () => {
    const order = await newOrder(700);
    const paid = (await charge(api, newKey(), { amount: undefined, currency: undefined, order }))
      .body;
    await lose(paid.id);
    expect(await differences()).toEqual([`charge_rebuilt ${paid.id}`]);
    const { body } = await send(`${api}/orders/${order}`);
    expect([body.status, body.charge]).toEqual(['paid', paid.id]);
    expect(await audit(pool)).toEqual([]);
  });

  /** A paid order whose charge was lost, with one product left. */
  async function lostPayment() {
    const order = await newOrder(700);
    const body = { amount: undefined, currency: undefined, order };
    const { id } = (await charge(api, newKey(), body)).body;
    await lose(id);
    const payAgain = () => charge(api, newKey(), body);
    return { order, id, payAgain };
  }
  const stock = (on_hand: number) =>
    service.db.query(
      `INSERT INTO products (account_id, sku, name, on_hand, version)
       SELECT id, 'cup', 'A cup', $1, 1 FROM accounts WHERE name = 'acme'
       ON CONFLICT (account_id, sku) DO UPDATE SET on_hand = $1`,
      [on_hand],
    );

  test.each<[string, (order: string) => Promise<unknown>, (order: string) => Promise<unknown>]>([
    [
      'has another total',
      (order) => service.db.query(`UPDATE orders SET total = 701 WHERE id = $1`, [order]),
      (order) => service.db.query(`UPDATE orders SET total = 700 WHERE id = $1`, [order]),
    ],
    [
      'is gone',
      (order) => service.db.query('DELETE FROM orders WHERE id = $1', [order]),
      (order) => newOrder(700, order),
    ],
    ['has too little stock', () => stock(0), () => stock(1)],
  ])(
    'is guarded while the order %s, so that no other key pays again, and pays it later',
    async (_what, change, changeBack) => {
      const { order, id, payAgain } = await lostPayment();
      await change(order);
      expect(await differences()).toEqual([
        `charge_rebuilt_without_its_order ${id}`,
        `payment_of_an_order_that_does_not_show_it ${id}`,
      ]);
      expect((await getCharge(api, id)).body).toMatchObject({ status: 'succeeded', order: null });
      await changeBack(order);
      const again = await payAgain();
      expect([again.status, again.body.code]).toEqual([409, 'order_already_paid']);
      expect(again.body.resource).toMatchObject({ id });

      expect(await differences()).toEqual([`order_of_a_rebuilt_charge_paid ${id}`]);
      const { body } = await send(`${api}/orders/${order}`);
      expect([body.status, body.charge]).toEqual(['paid', id]);
      expect(await differences()).toEqual([]);
      await service.db.query('DELETE FROM stock_movements');
      await service.db.query('DELETE FROM products');
      expect(await audit(pool)).toEqual([]);
    },
  );

  test('waits while another charge holds the order, and pays it if that one fails', async () => {
    const { order, id } = await lostPayment();
    const declined = {
      amount: undefined,
      currency: undefined,
      order,
      payment_method: 'pm_card_visa_chargeDeclined',
    };
    const key = newKey();
    service.gate.be('refusing');
    expect((await charge(api, key, declined)).status).toBe(503);
    service.gate.be('open');
    const [payment] = await paymentsOf(service.sandboxUrl, id);
    expect(await differences()).toEqual([`payment_without_its_charge ${payment!.id}`]);
    expect((await charge(api, key, declined)).status).toBe(402);
    expect(await differences()).toEqual([`charge_rebuilt ${id}`]);
    expect((await send(`${api}/orders/${order}`)).body).toMatchObject({
      status: 'paid',
      charge: id,
    });
  });

  test('that was paid again meanwhile is reported as paid twice, until one is refunded', async () => {
    const { order, id, payAgain } = await lostPayment();
    const second = await payAgain();
    expect(second.status).toBe(201);
    expect(await differences()).toEqual([
      `charge_rebuilt_without_its_order ${id}`,
      `order_paid_twice ${order}`,
    ]);
    expect(await differences()).toEqual([`order_paid_twice ${order}`]);
    expect((await refund(api, id, newKey())).status).toBe(201);
    expect(await differences()).toEqual([]);
  });

  test('whose money was refunded is not shipped or paid again', async () => {
    const order = await newOrder(700);
    const body = { amount: undefined, currency: undefined, order };
    const { id } = (await charge(api, newKey(), body)).body;
    const back = (await refund(api, id, newKey())).body;
    await lose(id);
    expect(await differences()).toEqual([
      `charge_rebuilt_without_its_order ${id}`,
      `refund_rebuilt ${back.id}`,
    ]);
    expect((await send(`${api}/orders/${order}`)).body.status).toBe('open');
    expect((await charge(api, newKey(), body)).body.code).toBe('order_already_paid');
    expect(await differences()).toEqual([]);
  });
});

describe('a refund that was lost', () => {
  test('is rebuilt, also together with its charge', async () => {
    const key = newKey();
    const { id } = (await charge(api, newKey())).body;
    const back = (await refund(api, id, key, { amount: 500 })).body;
    await lose(id);
    expect(await differences()).toEqual([`charge_rebuilt ${id}`, `refund_rebuilt ${back.id}`]);
    expect((await getCharge(api, id)).body.amount_refunded).toBe(500);
    expect(await audit(pool)).toEqual([]);
    const again = await refund(api, id, key, { amount: 500 });
    expect([again.status, again.body.code]).toEqual([409, 'idempotency_key_expired']);
    expect(await differences()).toEqual([]);
  });
});

describe('a refund that was made at the processor', () => {
  /** It has no id of ours, only the shop's own metadata. */
  async function atTheDesk(chargeId: string, amount: number): Promise<string> {
    const payment = (await getCharge(api, chargeId)).body.processor_reference as string;
    const { body } = await send(`${service.sandboxUrl}/v1/refunds`, {
      method: 'POST',
      key: newKey(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: `payment_intent=${payment}&amount=${amount}&metadata[refund]=RMA-17`,
    });
    return body.id;
  }

  const refundsOf = async (id: string) =>
    (await send(`${api}/charges/${id}/refunds`)).body.data as Record<string, unknown>[];

  test('is booked once by many concurrent runs, and notifications find it afterwards', async () => {
    const { id } = (await charge(api, newKey())).body;
    const reference = await atTheDesk(id, 500);
    const found = (await Promise.all([differences(), differences(), differences()])).flat();
    const [booked] = await refundsOf(id);
    expect(found).toContain(`refund_made_elsewhere_booked ${booked!.id}`);
    expect(found.filter((line) => line.startsWith('refund_made_elsewhere_booked'))).toHaveLength(1);
    expect(booked).toMatchObject({ amount: 500, reason: null, processor_reference: reference });
    expect((await getCharge(api, id)).body.amount_refunded).toBe(500);
    expect(await differences()).toEqual([]);
    expect(await audit(pool)).toEqual([]);
  });

  test('and failed before we knew of it is reported once', async () => {
    const { id } = (await charge(api, newKey())).body;
    const reference = await atTheDesk(id, 500);
    await service.db.query(
      `UPDATE sandbox.refunds SET status = 'failed', failure_reason = 'lost_or_stolen_card' WHERE id = $1`,
      [reference],
    );
    const found = await differences();
    const [booked] = await refundsOf(id);
    expect(found).toEqual([`refund_made_elsewhere_booked ${String(booked!.id)}`]);
    expect(booked).toMatchObject({ status: 'failed', failure_code: 'lost_or_stolen_card' });
    expect(await differences()).toEqual([]);
    expect(await audit(pool)).toEqual([]);
  });

  test('and may be a pending one of ours without its metadata is not booked', async () => {
    const { id } = (await charge(api, newKey())).body;
    const key = newKey();
    service.gate.be('losing');
    const lost = await refund(api, id, key, { amount: 500 });
    service.gate.be('open');
    expect(lost.status).toBe(504);
    await service.db.query(`UPDATE sandbox.refunds SET metadata = '{}'`);
    expect(await differences()).toEqual([]);
    expect(await refund(api, id, key, { amount: 500 })).toMatchObject({
      status: 201,
      body: { id: lost.body.refund },
    });
    expect(await refundsOf(id)).toHaveLength(1);
    expect(await differences()).toEqual([]);
  });

  test('is booked together with a lost charge, and its order is not shipped again', async () => {
    const order = await newOrder(700);
    const body = { amount: undefined, currency: undefined, order };
    const { id } = (await charge(api, newKey(), body)).body;
    await atTheDesk(id, 700);
    await lose(id);
    const found = await differences();
    const [booked] = await refundsOf(id);
    expect(found).toEqual([
      `charge_rebuilt_without_its_order ${id}`,
      `refund_made_elsewhere_booked ${booked!.id}`,
    ]);
    expect(await differences()).toEqual([]);
  });

  test('and one through the API that failed after it had succeeded are both updated', async () => {
    const { id } = (await charge(api, newKey())).body;
    const { body: ours } = await refund(api, id, newKey(), { amount: 1200 });
    await service.db.query(
      `UPDATE sandbox.refunds SET status = 'failed', failure_reason = 'lost_or_stolen_card' WHERE id = $1`,
      [ours.processor_reference],
    );
    await service.db.query('UPDATE sandbox.payment_intents SET amount_refunded = 0');
    await atTheDesk(id, 800);
    const found = await differences();
    const booked = (await refundsOf(id)).find(({ status }) => status === 'succeeded');
    expect(found).toEqual([
      `refund_failed_after_it_had_succeeded ${ours.id}`,
      `refund_made_elsewhere_booked ${String(booked!.id)}`,
    ]);
    expect((await getCharge(api, id)).body.amount_refunded).toBe(800);
    expect((await send(`${api}/refunds/${ours.id}`)).body).toMatchObject({
      status: 'failed',
      failure_code: 'lost_or_stolen_card',
    });
    expect(await differences()).toEqual([]);
    expect(await audit(pool)).toEqual([]);
  });
});

test('a payment of a failed charge is parked', async () => {
  const { id } = (await charge(api, newKey())).body;
  await service.db.query(
    `UPDATE charges SET status = 'failed', failure_code = 'abandoned', processor_reference = NULL WHERE id = $1`,
    [id],
  );
  expect(await differences()).toEqual([`payment_of_a_failed_charge_parked ${id}`]);
  expect(await differences()).toEqual([]);
  expect(await metric(api, 'parked_payments')).toBe(1);
});

test('a charge without a payment is reported, and left to an operator', async () => {
  const { id } = (await charge(api, newKey())).body;
  await service.db.query(`DELETE FROM sandbox.payment_intents WHERE metadata ->> 'charge' = $1`, [
    id,
  ]);
  expect(await differences()).toEqual([`charge_without_its_payment ${id}`]);
});

test.each(['{}', '{"charge": "order_5", "refund": "RMA-17"}'])(
  'a charge and a refund whose metadata at the processor became %s are no difference',
  async (metadata) => {
    const { id } = (await charge(api, newKey())).body;
    expect((await refund(api, id, newKey(), { amount: 500 })).status).toBe(201);
    for (const table of ['payment_intents', 'refunds'])
      await service.db.query(`UPDATE sandbox.${table} SET metadata = $1`, [metadata]);
    expect(await differences()).toEqual([]);
  },
);

describe('the command', () => {
  const command = (args: string[] = [], env = service.env) => runToEnd('reconcile.js', env, args);

  test('prints the differences, exits with 1, and the metrics count them', async () => {
    const { id } = (await charge(api, newKey())).body;
    await lose(id);
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
    await lose(id);
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
});
