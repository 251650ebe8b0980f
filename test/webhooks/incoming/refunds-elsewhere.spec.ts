import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { newCharge, newKey, refund } from '../../refunds/refunds.support.js';
import { deriveId, startSandbox } from '../../support/internals.js';
import { expectCleanBooks } from '../../support/books.js';
import { charge, getCharge, send } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';
import { until } from '../../support/until.js';
import {
  accountOf,
  deliver,
  event,
  leavePending,
  parked,
  paymentOf,
  SECRET,
  startListening,
  statesOf,
  statusOf,
  notify,
  eventTypesOf,
} from './incoming.support.js';

/** Money that moves without us: refunds made at the processor, and refunds that fail after they had succeeded. */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterAll(async () => {
  try {
    await expectCleanBooks(service);
  } finally {
    await service.stop();
  }
});

type Refund = Record<string, unknown> & { id: string; amount: number; status: string };

/** An operator refunds at the processor, without our ids. */
async function refundInDashboard(
  payment: string,
  amount?: number,
  metadata: Record<string, string> = {},
): Promise<Refund> {
  const form = new URLSearchParams({ payment_intent: payment });
  if (amount !== undefined) form.set('amount', String(amount));
  for (const [name, value] of Object.entries(metadata)) form.set(`metadata[${name}]`, value);
  const { status, body } = await send(`${service.sandboxUrl}/v1/refunds`, {
    method: 'POST',
    key: newKey('desk'),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  });
  expect(status).toBe(200);
  return body as unknown as Refund;
}

/** A charge of 12.00, with its payment. */
async function paid(method = 'pm_card_visa') {
  const id = await newCharge(service.apiUrl, { payment_method: method });
  const show = async () => (await getCharge(service.apiUrl, id)).body;
  const payment = (await show()).processor_reference as string;
  const refunded = async () => (await show()).amount_refunded as number;
  const refunds = async () =>
    (await send(`${service.apiUrl}/charges/${id}/refunds`)).body.data as Refund[];
  return { id, payment, refunded, refunds };
}

/** The bank returns a refund, as the sandbox does for a card whose refunds fail, but now. */
async function failAtProcessor(reference: string): Promise<Refund> {
  await service.db.query(
    `WITH failed AS (UPDATE sandbox.refunds SET status = 'failed', failure_reason = 'lost_or_stolen_card'
       WHERE id = $1 RETURNING *)
     UPDATE sandbox.payment_intents AS intent SET amount_refunded = amount_refunded - failed.amount
     FROM failed WHERE intent.id = failed.payment_intent`,
    [reference],
  );
  return (await send(`${service.sandboxUrl}/v1/refunds/${reference}`)).body as unknown as Refund;
}

async function asTheProcessorShows(reference: string): Promise<Refund> {
  return (await send(`${service.sandboxUrl}/v1/refunds/${reference}`)).body as unknown as Refund;
}

describe('a refund made at the processor', () => {
  test('is booked once, with its own id and event, however often and late it is reported', async () => {
    const { id, payment, refunded, refunds } = await paid();
    const elsewhere = await refundInDashboard(payment, 500);
    const news = event('refund.created', elsewhere);
    await Promise.all([
      notify(service.apiUrl, news),
      notify(service.apiUrl, news),
      notify(service.apiUrl, event('refund.updated', elsewhere)),
      notify(service.apiUrl, event('charge.refund.updated', elsewhere)),
      notify(
        service.apiUrl,
        event('charge.refunded', { payment_intent: payment, amount_refunded: 500 }),
      ),
    ]);
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual(['applied']);
    expect(await refunded()).toBe(500);
    expect(await refunds()).toMatchObject([
      {
        id: expect.stringMatching(/^re_[0-9a-v]{32}$/),
        charge: id,
        amount: 500,
        currency: 'eur',
        status: 'succeeded',
        reason: null,
        processor_reference: elsewhere.id,
      },
    ]);
    const [booked] = await refunds();
    expect(await eventTypesOf(service, booked!.id)).toEqual(['charge.refunded']);

    const rest = await refund(service.apiUrl, id, newKey());
    expect([rest.status, rest.body.amount]).toEqual([201, 700]);
    expect(await refunded()).toBe(1200);
  });

  test('is found by the amount on the processor’s charge, which since 2022 does not list its refunds', async () => {
    const { payment, refunded } = await paid();
    await refundInDashboard(payment, 300);
    await refundInDashboard(payment, 400);
    const object = { payment_intent: payment, amount_refunded: 700, metadata: {} };
    await notify(service.apiUrl, event('charge.refunded', object));
    expect(await refunded()).toBe(700);
  });

  test('of a charge whose answer was lost ends that charge first', async () => {
    const pending = await leavePending(service, newKey('lost'), 'losing');
    const { id: payment } = await paymentOf(service, pending);
    await notify(service.apiUrl, event('refund.created', await refundInDashboard(payment, 200)));
    expect(await statusOf(service, pending.id)).toBe('succeeded');
    expect((await getCharge(service.apiUrl, pending.id)).body.amount_refunded).toBe(200);
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.succeeded']);
  });

  test('whose charge cannot be read at the processor is not lost: the notification is sent again', async () => {
    const pending = await leavePending(service, newKey('unasked'), 'losing');
    const { id: payment } = await paymentOf(service, pending);
    const news = JSON.stringify(event('refund.created', await refundInDashboard(payment, 200)));
    service.gate.be('refusing');
    const refused = await deliver(service.apiUrl, news).finally(() => service.gate.be('open'));
    expect([refused.status, refused.body.code]).toEqual([503, 'processor_unavailable']);
    expect((await deliver(service.apiUrl, news)).status).toBe(200);
    expect((await getCharge(service.apiUrl, pending.id)).body.amount_refunded).toBe(200);
  });

  test('of another program’s payment is acknowledged and not stored', async () => {
    const form = 'amount=900&currency=eur&payment_method=pm_card_visa&confirm=true';
    const { body } = await send(`${service.sandboxUrl}/v1/payment_intents`, {
      method: 'POST',
      key: newKey('theirs'),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form,
    });
    const news = event('refund.created', await refundInDashboard(body.id, 300));
    await notify(service.apiUrl, news);
    expect(await statesOf(service, news.id)).toEqual([]);
  });

  test('with another program’s metadata is booked as one without metadata', async () => {
    const { id, payment, refunds } = await paid();
    const account = await accountOf(service, id);
    const rma = await refundInDashboard(payment, 300, { refund: 'RMA-17' });
    const named = await refundInDashboard(payment, 200, {
      refund: 'r17',
      charge: 'order_5',
      account,
    });
    for (const elsewhere of [rma, named]) {
      const news = event('refund.created', elsewhere);
      expect(news.data.object.metadata).toHaveProperty('refund');
      await notify(service.apiUrl, news);
      expect(await statesOf(service, news.id)).toEqual(['applied']);
    }
    const booked = (await refunds()).map((each) => [each.amount, each.processor_reference]);
    expect(new Map(booked as [number, string][])).toEqual(
      new Map([
        [300, rma.id],
        [200, named.id],
      ]),
    );
    await expectCleanBooks(service);
  });

  test('that failed before we knew of it is booked as failed', async () => {
    const { payment, refunded, refunds } = await paid();
    const elsewhere = await refundInDashboard(payment, 500);
    await failAtProcessor(elsewhere.id);
    const object = { payment_intent: payment, amount_refunded: 500, metadata: {} };
    await notify(service.apiUrl, event('charge.refunded', object));
    const failed = { status: 'failed', failure_code: 'lost_or_stolen_card', amount: 500 };
    expect(await refunds()).toMatchObject([{ ...failed, processor_reference: elsewhere.id }]);
    expect(await refunded()).toBe(0);
  });

  test('in another currency is parked, not booked', async () => {
    const { id, payment, refunded } = await paid();
    const object = { id: 're_foreign', payment_intent: payment, amount: 5, status: 'succeeded' };
    await notify(service.apiUrl, event('refund.created', { ...object, currency: 'usd' }));
    expect(await refunded()).toBe(0);
    expect(await parked(service, id)).toMatchObject([{ reason: 'amount_mismatch' }]);
    await service.db.query(
      `DELETE FROM processor_events WHERE fact ->> 'reference' = 're_foreign'`,
    );
  });
});

describe('a refund that the processor refuses because of refunds made there', () => {
  test('when all went back there: those are booked, and no key is sent twice', async () => {
    const { id, payment, refunded } = await paid();
    await refundInDashboard(payment);
    const key = newKey();
    const first = await refund(service.apiUrl, id, key, { amount: 500 });
    expect(first).toMatchObject({
      status: 402,
      body: { code: 'refund_failed', failure_code: 'refund_exceeds_charge', retry: 'new_key' },
    });
    expect(await refunded()).toBe(1200);
    expect((await refund(service.apiUrl, id, key, { amount: 500 })).text).toBe(first.text);
    for (const body of [{ amount: 500 }, {}]) {
      const next = await refund(service.apiUrl, id, newKey(), body);
      expect(next).toMatchObject({
        status: 409,
        body: { code: 'refund_exceeds_charge', retry: 'no', resource: { id } },
      });
    }
  });

  test('when the same amount went back there', async () => {
    const { id, payment, refunded } = await paid();
    await refundInDashboard(payment);
    expect(await refund(service.apiUrl, id, newKey())).toMatchObject({
      status: 402,
      body: { code: 'refund_failed', failure_code: 'refund_exceeds_charge' },
    });
    expect(await refunded()).toBe(1200);
  });

  test('two refunds of one amount that are both refused do not wait for each other', async () => {
    const { id, payment, refunded } = await paid();
    const keys = [newKey(), newKey()];
    service.gate.be('refusing');
    for (const key of keys)
      expect((await refund(service.apiUrl, id, key, { amount: 600 })).status).toBe(503);
    service.gate.be('open');
    for (let part = 0; part < 2; part++) await refundInDashboard(payment, 600);
    for (const key of keys)
      expect(await refund(service.apiUrl, id, key, { amount: 600 })).toMatchObject({
        status: 402,
        body: { failure_code: 'refund_exceeds_charge' },
      });
    expect(await refunded()).toBe(1200);
  });

  test('when a part went back there: the rest goes back with the next key', async () => {
    const { id, payment, refunded } = await paid();
    await refundInDashboard(payment, 500);
    expect(await refund(service.apiUrl, id, newKey())).toMatchObject({
      status: 402,
      body: { code: 'refund_failed', failure_code: 'refund_exceeds_charge' },
    });
    const rest = await refund(service.apiUrl, id, newKey());
    expect([rest.status, rest.body.amount, await refunded()]).toEqual([201, 700, 1200]);
  });

  test('when all happens at once: never more than was taken goes back or is booked', async () => {
    const { id, payment, refunded, refunds } = await paid();
    const elsewhere = await refundInDashboard(payment, 500);
    const second = await service.startApi();
    const news = event('refund.created', elsewhere);
    await Promise.all([
      ...[service.apiUrl, second.url].map((url) => notify(url, news)),
      ...[service.apiUrl, second.url, service.apiUrl, second.url].map((url) =>
        refund(url, id, newKey(), { amount: 600 }),
      ),
    ]);
    await second.stop();
    const back = (await refunds()).filter(({ status }) => status === 'succeeded');
    expect(await refunded()).toBe(back.reduce((sum, { amount }) => sum + amount, 0));
    expect(back.filter((each) => each.processor_reference === elsewhere.id)).toHaveLength(1);
    expect(await refunded()).toBe(1100);
  });

  test('while that one is pending there, this one waits for it', async () => {
    const { id, payment, refunds } = await paid('pm_card_pendingRefund');
    // Otherwise it would succeed by itself after a second.
    await service.db.query(`
      CREATE FUNCTION stay_pending() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.turns_at := NULL; RETURN NEW; END $$`);
    await service.db.query(
      `CREATE TRIGGER stay_pending BEFORE INSERT ON sandbox.refunds FOR EACH ROW EXECUTE FUNCTION stay_pending()`,
    );
    const elsewhere = await refundInDashboard(payment, 1000);
    await service.db.query('DROP FUNCTION stay_pending CASCADE');
    expect(elsewhere.status).toBe('pending');
    const key = newKey();
    const waits = await refund(service.apiUrl, id, key, { amount: 500 });
    expect(waits).toMatchObject({ status: 504, body: { retry: 'same_key' } });
    expect((await refunds()).map(({ status }) => status)).toEqual(['pending']);
    await service.db.query(`UPDATE sandbox.refunds SET status = 'succeeded' WHERE id = $1`, [
      elsewhere.id,
    ]);
    expect(await refund(service.apiUrl, id, key, { amount: 500 })).toMatchObject({
      status: 402,
      body: { failure_code: 'refund_exceeds_charge' },
    });
    expect((await refunds()).map(({ status, amount }) => [status, amount])).toEqual([
      ['failed', 500],
      ['succeeded', 1000],
    ]);
  });
});

describe('a refund of ours whose metadata are removed at the processor', () => {
  /** It succeeded, 5.00, its answer was lost, and then its metadata were removed. */
  async function edited() {
    const of = await paid();
    const key = newKey();
    const again = (url = service.apiUrl) => refund(url, of.id, key, { amount: 500 });
    service.gate.be('losing');
    const refundId = String((await again()).body.refund);
    service.gate.be('open');
    const { rows } = await service.db.query<{ id: string }>(
      `UPDATE sandbox.refunds SET metadata = '{}' WHERE metadata ->> 'refund' = $1 RETURNING id`,
      [refundId],
    );
    return { ...of, again, refundId, reference: rows[0]!.id };
  }

  const wired = async (url: string) => (await send(url)).body;

  test('is not booked as another one while it is pending: the notification is sent again', async () => {
    const { payment, refundId, reference, again, refunds, refunded } = await edited();
    const news = [
      event('refund.updated', await asTheProcessorShows(reference)),
      event('charge.refunded', { payment_intent: payment, amount_refunded: 500 }),
    ];
    for (const each of news)
      expect(await deliver(service.apiUrl, JSON.stringify(each))).toMatchObject({
        status: 409,
        body: { code: 'payment_pending', resource: { id: refundId } },
      });
    expect(await again()).toMatchObject({
      status: 201,
      body: { id: refundId, processor_reference: reference },
    });
    for (const each of news) await notify(service.apiUrl, each);
    expect((await refunds()).map(({ id }) => id)).toEqual([refundId]);
    expect(await refunded()).toBe(500);
    expect(await eventTypesOf(service, refundId)).toEqual(['charge.refunded']);
  });

  test('counts once when the notification and its key arrive at once, at two processes', async () => {
    const { refundId, reference, again, refunds, refunded } = await edited();
    const second = await service.startApi();
    const news = JSON.stringify(event('refund.updated', await asTheProcessorShows(reference)));
    const urls = [service.apiUrl, second.url];
    await Promise.all([
      ...urls.map((url) => again(url)),
      ...urls.map((url) => until(async () => (await deliver(url, news)).status === 200)),
    ]);
    await second.stop();
    expect(await refunds()).toMatchObject([{ id: refundId, processor_reference: reference }]);
    expect(await refunded()).toBe(500);
  });

  test('is found when the processor has forgotten its key, and nothing goes back twice', async () => {
    const { id, payment, refundId, reference, again } = await edited();
    await service.db.query('DELETE FROM sandbox.idempotency_keys');
    await service.db.query(
      `UPDATE refunds SET created_at = created_at - interval '1 day' WHERE id = $1`,
      [refundId],
    );
    expect(await again()).toMatchObject({ status: 201, body: { processor_reference: reference } });
    const { body } = await send(`${service.sandboxUrl}/v1/refunds?payment_intent=${payment}`);
    expect(body.data).toMatchObject([{ id: reference }]);
    expect((await getCharge(service.apiUrl, id)).body.amount_refunded).toBe(500);
  });

  /** A backup from before the refund, with the charge. */
  async function restoreOlderBackup(refundId: string): Promise<void> {
    await service.db.query('DELETE FROM refunds WHERE id = $1', [refundId]);
    await service.db.query('DELETE FROM idempotency_records WHERE resource_id = $1', [refundId]);
  }

  test('and which was booked as another one after a restore: our row takes over', async () => {
    const { id, reference, refundId, again, refunded } = await edited();
    await restoreOlderBackup(refundId);
    const news = event('refund.updated', await asTheProcessorShows(reference));
    await notify(service.apiUrl, news);
    const booked = deriveId('re', await accountOf(service, id), 'made at the processor', reference);
    expect(await wired(`${service.apiUrl}/refunds/${booked}`)).toMatchObject({
      status: 'succeeded',
      processor_reference: reference,
    });
    expect(await again()).toMatchObject({
      status: 201,
      body: { id: refundId, processor_reference: reference },
    });
    expect(await refunded()).toBe(500);
    expect(await wired(`${service.apiUrl}/refunds/${booked}`)).toMatchObject({
      status: 'failed',
      failure_code: 'counted_as_another_refund',
      processor_reference: null,
    });
    expect(await eventTypesOf(service, booked)).toEqual(['charge.refunded', 'refund.failed']);
    expect(await eventTypesOf(service, refundId)).toEqual(['charge.refunded']);
    await notify(service.apiUrl, { ...news, id: `${news.id}x` });
    expect(await refunded()).toBe(500);
  });

  test('and which failed at the bank after it was booked as another one fails here, too', async () => {
    const { reference, refundId, again, refunded } = await edited();
    await restoreOlderBackup(refundId);
    await notify(service.apiUrl, event('refund.updated', await asTheProcessorShows(reference)));
    await notify(service.apiUrl, event('refund.failed', await failAtProcessor(reference)));
    expect(await again()).toMatchObject({
      status: 402,
      body: { refund: refundId, failure_code: 'lost_or_stolen_card' },
    });
    expect(await refunded()).toBe(0);
  });
});

describe('a refund that fails after it had succeeded', () => {
  /** A succeeded refund of 5.00 through the API. */
  async function given() {
    const of = await paid();
    const key = newKey();
    const answer = await refund(service.apiUrl, of.id, key, { amount: 500 });
    expect(answer.status).toBe(201);
    const reference = answer.body.processor_reference as string;
    const show = async () => (await send(`${service.apiUrl}/refunds/${answer.body.id}`)).body;
    return { ...of, key, answer, reference, refundId: answer.body.id, show };
  }

  test('fails here, too: its amount can be refunded again, and one event reports it', async () => {
    const { id, key, answer, reference, refundId, show, refunded } = await given();
    const succeeded = await asTheProcessorShows(reference);
    const failed = await failAtProcessor(reference);
    const news = event('refund.failed', failed);
    const again = event('refund.updated', failed);
    await Promise.all([news, again, news].map((each) => notify(service.apiUrl, each)));
    expect(await show()).toMatchObject({ status: 'failed', failure_code: 'lost_or_stolen_card' });
    expect(await refunded()).toBe(0);
    expect(await eventTypesOf(service, refundId)).toEqual(['charge.refunded', 'refund.failed']);
    expect(await statesOf(service, news.id)).toEqual(['applied']);
    const { rows } = await service.db.query(
      `SELECT data -> 'object' AS object FROM events WHERE cause = $1 AND type = 'refund.failed'`,
      [refundId],
    );
    expect(rows[0].object).toMatchObject({ id: refundId, status: 'failed', amount: 500 });

    // A late notification of its success: the processor is asked for the current state.
    const late = event('refund.created', succeeded);
    await notify(service.apiUrl, late);
    expect(await statesOf(service, late.id)).toEqual(['applied']);
    expect((await show()).status).toBe('failed');
    expect(await parked(service, id)).toEqual([]);
    // The answer is a snapshot. The same key never refunds again; another one may.
    expect((await refund(service.apiUrl, id, key, { amount: 500 })).text).toBe(answer.text);
    expect((await refund(service.apiUrl, id, newKey())).body.amount).toBe(1200);
  });

  test('that was made at the processor and whose failure is reported first never counts', async () => {
    const { payment, refunded, refunds } = await paid();
    const elsewhere = await refundInDashboard(payment, 500);
    const failed = await failAtProcessor(elsewhere.id);
    await notify(service.apiUrl, event('refund.failed', failed));
    await notify(service.apiUrl, event('refund.created', elsewhere));
    expect(await refunded()).toBe(0);
    expect(await refunds()).toMatchObject([
      { status: 'failed', processor_reference: elsewhere.id },
    ]);
  });

  test('leaves the order paid', async () => {
    const order = newKey('order');
    const items = [{ sku: 'cup', quantity: 1, unit_amount: 1200 }];
    const body = { currency: 'eur', items };
    await send(`${service.apiUrl}/orders/${order}`, { method: 'PUT', body });
    const { body: made } = await charge(service.apiUrl, newKey(), { order });
    const back = await refund(service.apiUrl, made.id, newKey());
    const failed = await failAtProcessor(back.body.processor_reference as string);
    await notify(service.apiUrl, event('refund.failed', failed));
    const { body: shown } = await send(`${service.apiUrl}/orders/${order}`);
    expect([shown.status, shown.charge]).toEqual(['paid', made.id]);
  });

  test('and that an operator repeated at the processor since: both are booked', async () => {
    const { payment, refunded, refunds } = await paid();
    const first = await refundInDashboard(payment);
    await notify(service.apiUrl, event('refund.created', first));
    expect(await refunded()).toBe(1200);
    await failAtProcessor(first.id); // without a notification
    await notify(service.apiUrl, event('refund.created', await refundInDashboard(payment, 800)));
    expect(await refunded()).toBe(800);
    expect((await refunds()).map(({ status }) => status).sort()).toEqual(['failed', 'succeeded']);
  });
});

test('the sandbox sends both notifications by itself', async () => {
  const teller = await startSandbox({
    databaseUrl: service.databaseUrl,
    webhook: {
      url: `${service.apiUrl}/webhooks/processor`,
      secret: SECRET,
      delayMs: 0,
      shuffleMs: 200,
      copies: 2,
    },
  });
  try {
    const elsewhere = await paid();
    await refundInDashboard(elsewhere.payment, 450);
    const bad = await paid('pm_card_refundFail');
    const { body } = await refund(service.apiUrl, bad.id, newKey(), { amount: 600 });
    expect(body.status).toBe('succeeded');
    await until(async () => (await elsewhere.refunded()) === 450);
    await until(async () => (await bad.refunds())[0]!.status === 'failed');
    expect(await bad.refunded()).toBe(0);
    await until(async () => {
      const { rows } = await service.db.query(
        'SELECT 1 FROM sandbox.events WHERE delivered_at IS NULL',
      );
      return rows.length === 0;
    });
  } finally {
    await teller.close();
  }
});
