import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import Stripe from 'stripe';
import type { WebhookConfig } from '../../../src/sandbox/config.js';
import { startSandbox, type Sandbox } from '../../../src/sandbox/sandbox.server.js';
import { insertEvent, pruneEvents, takeDue } from '../../../src/sandbox/webhooks/events.ledger.js';
import { freshDatabase, openPool } from '../../support/database.js';
import { until } from '../../support/until.js';
import { payment, post, sdk } from '../../sandbox/sandbox.support.js';
import { startReceiver, type Receiver } from '../../sandbox/webhook-receiver.js';

/** Not Jest's copy of `process`, which gets no warnings. */
const nodeItself = (
  globalThis as unknown as { requireNatively: (module: string) => NodeJS.Process }
).requireNatively('node:process');
const SECRET = 'whsec_of-the-sandbox';
const DECLINED = 'pm_card_visa_chargeDeclined';

let database: Awaited<ReturnType<typeof freshDatabase>>;
let db: pg.Pool;
let receiver: Receiver;
const running: Sandbox[] = [];
beforeAll(async () => {
  database = await freshDatabase();
  db = openPool(database.url);
});
afterEach(async () => {
  for (const sandbox of running.splice(0)) await sandbox.close();
  await db.query('DELETE FROM sandbox.events');
  await receiver.stop();
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

/** A sandbox on this file's ledger, with its own receiver. */
async function start(webhook: Partial<WebhookConfig> | null = {}): Promise<Sandbox> {
  receiver = await startReceiver();
  return join(webhook);
}

/** Another one for the same receiver. */
async function join(webhook: Partial<WebhookConfig> | null = {}): Promise<Sandbox> {
  const defaults = { url: receiver.url, secret: SECRET, delayMs: 0, shuffleMs: 0, copies: 1 };
  const sandbox = await startSandbox({
    databaseUrl: database.url,
    ...(webhook && { webhook: { ...defaults, ...webhook } }),
  });
  running.push(sandbox);
  return sandbox;
}

const pay = async (sandbox: Sandbox, method = 'pm_card_visa') =>
  (await post(sandbox, '/v1/payment_intents', payment(method))).body as Record<string, unknown>;

const arrived = (count: number) => until(async () => receiver.received.length >= count);
const delivered = (id: string) =>
  until(async () => {
    const { rows } = await db.query('SELECT delivered_at FROM sandbox.events WHERE id = $1', [id]);
    return rows[0].delivered_at !== null;
  });
/** The query of a sandbox for due notifications. */
const take = (pool = db, limit = 50) => takeDue(pool, { delayMs: 0, shuffleMs: 0 }, [], limit);
/** Makes the next attempt due now. */
const hurry = () => db.query('UPDATE sandbox.events SET next_attempt_at = clock_timestamp()');

describe('a notification of the sandbox', () => {
  it('is signed, and has the shape of Stripe’s events', async () => {
    const sandbox = await start();
    const intent = await pay(sandbox);
    await arrived(1);
    const { body, signature } = receiver.received[0]!;
    const event = Stripe.webhooks.constructEvent(body, signature, SECRET); // throws unless the signature is valid
    expect(event).toEqual({
      id: expect.stringMatching(/^evt_\w{24}$/),
      object: 'event',
      api_version: Stripe.API_VERSION,
      created: expect.any(Number),
      data: { object: intent },
      livemode: false,
      pending_webhooks: 1,
      request: { id: null, idempotency_key: null },
      type: 'payment_intent.succeeded',
    });
    expect(() => Stripe.webhooks.constructEvent(body, signature, 'whsec_other')).toThrow();
  });

  it('reports successes, declines, cancels and refunds, with the object of that moment', async () => {
    const sandbox = await start();
    const stripe = sdk(sandbox.port);
    const paid = await pay(sandbox);
    await pay(sandbox, DECLINED);
    const open = await stripe.paymentIntents.create({ amount: 500, currency: 'eur' });
    await stripe.paymentIntents.cancel(open.id);
    const refund = await stripe.refunds.create({ payment_intent: String(paid.id), amount: 200 });
    await arrived(5);

    const objects = Object.fromEntries(
      receiver.received.map(({ type, body }) => [type, JSON.parse(body).data.object]),
    );
    expect(objects).toMatchObject({
      'payment_intent.succeeded': { id: paid.id, status: 'succeeded' },
      'payment_intent.payment_failed': {
        status: 'requires_payment_method',
        last_payment_error: { code: 'card_declined', decline_code: 'generic_decline' },
      },
      'payment_intent.canceled': { id: open.id, status: 'canceled' },
      'refund.created': { id: refund.id, status: 'succeeded', amount: 200 },
      'charge.refunded': { object: 'charge', amount_refunded: 200, payment_intent: paid.id },
    });
  });

  it.each(['pm_lab_response_lost', 'pm_lab_error_after_charge', 'pm_lab_slow'])(
    'reports what a client of %s may never learn',
    async (method) => {
      const sandbox = await start();
      await pay(sandbox, method).catch(() => undefined);
      await arrived(1);
      expect(receiver.received[0]?.type).toBe('payment_intent.succeeded');
    },
  );

  it('exists if and only if its payment does', async () => {
    const sandbox = await start();
    await db.query('ALTER TABLE sandbox.events ADD CONSTRAINT none CHECK (false) NOT VALID');
    const before = await db.query('SELECT id FROM sandbox.payment_intents');
    expect((await post(sandbox, '/v1/payment_intents', payment('pm_card_visa'))).status).toBe(500);
    await db.query('ALTER TABLE sandbox.events DROP CONSTRAINT none');
    const after = await db.query('SELECT id FROM sandbox.payment_intents');
    expect(after.rowCount).toBe(before.rowCount);
    // A replay makes no second event.
    const form = payment('pm_card_visa');
    await post(sandbox, '/v1/payment_intents', form, { key: 'once' });
    await post(sandbox, '/v1/payment_intents', form, { key: 'once' });
    expect((await db.query('SELECT id FROM sandbox.events')).rowCount).toBe(1);
  });

  it('is sent in many copies at once without a warning about listeners', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    nodeItself.on('warning', listen);
    try {
      const sandbox = await start({ copies: 20 });
      const held: ServerResponse[] = [];
      receiver.answer((response) => held.push(response));
      const { id } = await pay(sandbox);
      await arrived(20);
      held.forEach((response) => response.end());
      const { rows } = await db.query('SELECT id FROM sandbox.events WHERE body LIKE $1', [
        `%${String(id)}%`,
      ]);
      await delivered(rows[0].id);
      expect(warnings).toEqual([]);
    } finally {
      nodeItself.off('warning', listen);
    }
  });

  it('is not sent without a URL', async () => {
    const sandbox = await start(null);
    await pay(sandbox);
    const { data } = await sdk(sandbox.port).events.list();
    expect(data).toMatchObject([{ type: 'payment_intent.succeeded', pending_webhooks: 1 }]);
    const refused = await post(sandbox, `/v1/events/${data[0]!.id}/retry`, '');
    expect(refused).toMatchObject({ status: 400, body: { error: expect.anything() } });
    // A sandbox with a URL on the same ledger sends it.
    await join();
    await arrived(1);
  });
});

describe('a notification that is not answered with 2xx', () => {
  it.each<[string, Parameters<Receiver['answer']>[0]]>([
    ['500', 500],
    ['404', 404],
    [
      'a redirect, which is not followed',
      (res, { path }) => {
        // A client that follows the redirect would get 200.
        if (path === '/hooks') res.writeHead(307, { location: '/elsewhere' });
        res.end();
      },
    ],
    ['a broken connection', (res) => res.destroy()],
  ])('is sent again: %s', async (_what, how) => {
    const sandbox = await start();
    receiver.answer(how);
    await pay(sandbox);
    await arrived(1);
    await hurry();
    await arrived(2);
    receiver.answer(204);
    await hurry();
    await delivered(receiver.received[0]!.id);
    const [first, ...again] = receiver.received;
    expect(again.length).toBeGreaterThanOrEqual(2);
    for (const each of again) expect(each.body).toBe(first!.body); // the same bytes, so the same id
    expect(new Set(receiver.received.map(({ path }) => path))).toEqual(new Set(['/hooks']));
  });

  it('is repeated after pauses that double up to a minute, for three days', async () => {
    await pay(await start(null)); // only this test takes it
    for (const pause of [1, 2, 4, 8, 16, 32, 60, 60]) {
      const before = await db.query<{ now: string }>('SELECT clock_timestamp()::text AS now');
      expect(await take()).toHaveLength(1);
      // The pause started between the two readings of the clock.
      const { rows } = await db.query<{ since_before: number; from_now: number }>(
        `SELECT EXTRACT(EPOCH FROM next_attempt_at - $1::timestamptz)::float8 AS since_before,
                EXTRACT(EPOCH FROM next_attempt_at - clock_timestamp())::float8 AS from_now
         FROM sandbox.events`,
        [before.rows[0]!.now],
      );
      expect(rows[0]!.since_before).toBeGreaterThanOrEqual(pause);
      expect(rows[0]!.from_now).toBeLessThanOrEqual(pause);
      await hurry();
    }

    await db.query(`UPDATE sandbox.events SET next_attempt_at = clock_timestamp() + '1 hour'`);
    expect(await take()).toEqual([]); // not before its time

    const pass = (hours: number) =>
      db.query(`UPDATE sandbox.events SET give_up_at = give_up_at - $1 * interval '1 hour'`, [
        hours,
      ]);
    await hurry();
    await pass(71);
    expect(await take()).toHaveLength(1);
    await hurry();
    await pass(1);
    expect(await take()).toEqual([]);
  });

  it('does not delay others, even if it is never answered', async () => {
    const sandbox = await start();
    let silent: string | undefined;
    receiver.answer((response, { id }) => {
      silent ??= id;
      if (id !== silent) response.end();
    });
    for (let i = 0; i < 6; i++) await pay(sandbox);
    await until(async () => {
      const { rows } = await db.query('SELECT id FROM sandbox.events WHERE delivered_at IS NULL');
      return rows.length === 1 && rows[0].id === silent;
    });
  });
});

describe('a notification is sent, if the test asks for it,', () => {
  const idsSeen = () => receiver.received.map(({ id }) => id);

  it('twice, at once', async () => {
    await pay(await start({ copies: 2 }));
    await arrived(2);
    expect(new Set(idsSeen()).size).toBe(1);
  });

  it('once by default', async () => {
    const sandbox = await start();
    for (let i = 0; i < 10; i++) await pay(sandbox);
    await arrived(10);
    await until(async () => {
      const { rows } = await db.query('SELECT id FROM sandbox.events WHERE delivered_at IS NULL');
      return rows.length === 0;
    });
    expect(receiver.received).toHaveLength(10);
  });

  it('by one of two sandboxes on one ledger, never by both', async () => {
    const sandbox = await start(null);
    for (let i = 0; i < 10; i++) await pay(sandbox);
    const one = openPool(database.url, 1); // so that all belongs to one transaction
    try {
      await one.query('BEGIN');
      // The worst plans read what is due once for each row.
      for (const way of ['hashagg', 'hashjoin', 'mergejoin', 'sort', 'material'])
        await one.query(`SET LOCAL enable_${way} = off`);
      const first = await take(one, 4);
      let ended = false;
      const other = take().finally(() => (ended = true));
      // It may wait for the first one as well: `one` commits only then.
      const waiting = `SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`;
      await until(async () => ended || (await db.query(waiting)).rowCount === 1);
      await one.query('COMMIT');
      const second = await other;
      expect([first.length, second.length]).toEqual([4, 6]);
      expect(new Set([...first, ...second].map(({ id }) => id)).size).toBe(10);
    } finally {
      await one.end();
    }
  });

  it('after a delay', async () => {
    await pay(await start({ delayMs: 700 }));
    await arrived(1);
    const { rows } = await db.query<{ created_at: Date }>('SELECT created_at FROM sandbox.events');
    const { at } = receiver.received[0]!;
    expect(at - rows[0]!.created_at.getTime()).toBeGreaterThanOrEqual(699);
  });

  it('out of order', async () => {
    await start(null);
    const tx = await db.connect();
    for (let i = 0; i < 40; i++) await insertEvent(tx, 'payment_intent.succeeded', {});
    tx.release();
    const pass = (seconds: number) =>
      db.query(`UPDATE sandbox.events SET created_at = created_at - $1 * interval '1 second'`, [
        seconds,
      ]);
    await pass(500); // of a thousand, about half are due
    await join({ shuffleMs: 1_000_000 }); // not sooner: it takes everything due at once
    await arrived(1);
    const { rows } = await db.query<{ id: string; waits: boolean }>(
      'SELECT id, next_attempt_at IS NULL AS waits FROM sandbox.events ORDER BY created_at',
    );
    const taken = rows.findLastIndex(({ waits }) => !waits);
    expect(rows.findIndex(({ waits }) => waits)).toBeLessThan(taken); // an older one still waits
    expect(rows.some(({ waits }) => waits)).toBe(true);
    await pass(501);
    await arrived(40);
    expect(idsSeen().toSorted()).toEqual(rows.map(({ id }) => id).toSorted());
  });

  it('again, by hand: with curl or the Stripe CLI', async () => {
    const sandbox = await start();
    await pay(sandbox);
    await pay(sandbox);
    await arrived(2);
    const [first] = receiver.received;
    await delivered(first!.id);
    const again = await post(sandbox, `/v1/events/${first!.id}/retry`, '');
    expect(again).toMatchObject({ status: 200, body: { id: first!.id, pending_webhooks: 1 } });
    await arrived(3);
    expect(receiver.received[2]).toMatchObject({ id: first!.id, body: first!.body });
    await delivered(first!.id);
    const event = await sdk(sandbox.port).events.retrieve(first!.id);
    expect(event.pending_webhooks).toBe(0);
    expect((await post(sandbox, '/v1/events/evt_unknown/retry', '')).status).toBe(404);
  });
});

describe('events are kept', () => {
  it('in pages like everything else', async () => {
    const sandbox = await start(null);
    for (let i = 0; i < 3; i++) await pay(sandbox);
    await pay(sandbox, DECLINED);
    const stripe = sdk(sandbox.port);
    const page = await stripe.events.list({ limit: 2 });
    expect(page).toMatchObject({ has_more: true, data: [{}, {}] });
    const failed = await stripe.events.list({ type: 'payment_intent.payment_failed' });
    expect(failed.data.map(({ id }) => id)).toEqual([page.data[0]!.id]);
    await expect(stripe.events.retrieve('evt_unknown')).rejects.toThrow(/No such event/);
  });

  it('for thirty days', async () => {
    const sandbox = await start(null);
    await pay(sandbox);
    await pay(sandbox, DECLINED);
    await db.query(
      `UPDATE sandbox.events SET created_at = now() - interval '30 days 1 minute'
       WHERE type = 'payment_intent.payment_failed'`,
    );
    await pruneEvents(db);
    const { rows } = await db.query('SELECT type FROM sandbox.events');
    expect(rows).toEqual([{ type: 'payment_intent.succeeded' }]);
  });
});
