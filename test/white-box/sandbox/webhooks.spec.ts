import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import Stripe from 'stripe';
import { pruneEvents } from '../../../src/sandbox/webhooks/events.ledger.js';
import { payment, post, sdk } from '../../sandbox/sandbox.support.js';
import { DECLINED, NotifyingSandbox, pay, SECRET } from './webhooks.support.js';

/** What the sandbox reports, and which events it keeps. */
const notifying = new NotifyingSandbox();
beforeAll(() => notifying.open());
afterEach(() => notifying.reset());
afterAll(() => notifying.close());

/** Not Jest's copy of `process`, which gets no warnings. */
const nodeItself = (
  globalThis as unknown as { requireNatively: (module: string) => NodeJS.Process }
).requireNatively('node:process');

describe('a notification of the sandbox', () => {
  it('is signed, and has the shape of Stripe’s events', async () => {
    const sandbox = await notifying.start();
    const intent = await pay(sandbox);
    await notifying.arrived(1);
    const { body, signature } = notifying.receiver.received[0]!;
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
    const sandbox = await notifying.start();
    const stripe = sdk(sandbox.port);
    const paid = await pay(sandbox);
    await pay(sandbox, DECLINED);
    const open = await stripe.paymentIntents.create({ amount: 500, currency: 'eur' });
    await stripe.paymentIntents.cancel(open.id);
    const refund = await stripe.refunds.create({ payment_intent: String(paid.id), amount: 200 });
    await notifying.arrived(5);

    const objects = Object.fromEntries(
      notifying.receiver.received.map(({ type, body }) => [type, JSON.parse(body).data.object]),
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
      const sandbox = await notifying.start();
      await pay(sandbox, method).catch(() => undefined);
      await notifying.arrived(1);
      expect(notifying.receiver.received[0]?.type).toBe('payment_intent.succeeded');
    },
  );

  it('exists if and only if its payment does', async () => {
    const sandbox = await notifying.start();
    await notifying.db.query(
      'ALTER TABLE sandbox.events ADD CONSTRAINT none CHECK (false) NOT VALID',
    );
    const before = await notifying.db.query('SELECT id FROM sandbox.payment_intents');
    expect((await post(sandbox, '/v1/payment_intents', payment('pm_card_visa'))).status).toBe(500);
    await notifying.db.query('ALTER TABLE sandbox.events DROP CONSTRAINT none');
    const after = await notifying.db.query('SELECT id FROM sandbox.payment_intents');
    expect(after.rowCount).toBe(before.rowCount);
    // A replay makes no second event.
    const form = payment('pm_card_visa');
    await post(sandbox, '/v1/payment_intents', form, { key: 'once' });
    await post(sandbox, '/v1/payment_intents', form, { key: 'once' });
    expect((await notifying.db.query('SELECT id FROM sandbox.events')).rowCount).toBe(1);
  });

  it('is sent in many parallel copies without a warning about listeners', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    nodeItself.on('warning', listen);
    try {
      const sandbox = await notifying.start({ copies: 20 });
      const held: ServerResponse[] = [];
      notifying.receiver.answer((response) => held.push(response));
      const { id } = await pay(sandbox);
      await notifying.arrived(20);
      held.forEach((response) => response.end());
      const { rows } = await notifying.db.query(
        'SELECT id FROM sandbox.events WHERE body LIKE $1',
        [`%${String(id)}%`],
      );
      await notifying.delivered(rows[0].id);
      expect(warnings).toEqual([]);
    } finally {
      nodeItself.off('warning', listen);
    }
  });

  it('is not sent without a URL', async () => {
    const sandbox = await notifying.start(null);
    await pay(sandbox);
    const { data } = await sdk(sandbox.port).events.list();
    expect(data).toMatchObject([{ type: 'payment_intent.succeeded', pending_webhooks: 1 }]);
    const refused = await post(sandbox, `/v1/events/${data[0]!.id}/retry`, '');
    expect(refused).toMatchObject({ status: 400, body: { error: expect.anything() } });
    // A sandbox with a URL on the same ledger sends it.
    await notifying.join();
    await notifying.arrived(1);
  });
});

describe('events are kept', () => {
  it('in pages like everything else', async () => {
    const sandbox = await notifying.start(null);
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
    const sandbox = await notifying.start(null);
    await pay(sandbox);
    await pay(sandbox, DECLINED);
    await notifying.db.query(
      `UPDATE sandbox.events SET created_at = now() - interval '30 days 1 minute'
       WHERE type = 'payment_intent.payment_failed'`,
    );
    await pruneEvents(notifying.db);
    const { rows } = await notifying.db.query('SELECT type FROM sandbox.events');
    expect(rows).toEqual([{ type: 'payment_intent.succeeded' }]);
  });
});
