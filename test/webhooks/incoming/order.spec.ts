import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { napAt } from '../../support/api-process.js';
import { expectCleanBooks } from '../../support/books.js';
import { holdStatements } from '../../support/held-statement.js';
import { deriveId } from '../../support/internals.js';
import { charge, getCharge, type Reply } from '../../support/raw-client.js';
import type { Service } from '../../support/service.js';
import { chargeOf } from '../../support/ways.js';
import {
  declined,
  event,
  eventTypesOf,
  intent,
  leavePending,
  newEventId,
  notify,
  paymentOf,
  startListening,
  statesOf,
  statusOf,
} from './incoming.support.js';
import {
  demoAccount,
  endCharges,
  notifyBeforeCharge,
  oneRound,
  startWorkerWithoutProcessor,
  untilState,
} from './waiting.support.js';

/** Notifications arrive late, early, and out of order. */
let service: Service;
beforeAll(async () => {
  service = await startListening();
});
afterEach(async () => {
  await service.stopWorkers();
  service.gate.be('open');
});
afterAll(async () => {
  await endCharges(service);
  await expectCleanBooks(service);
});
afterAll(() => service.stop());

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
    const account = await demoAccount(service);
    const id = deriveId('ch', account, 'POST /charges', key);
    const early = event('payment_intent.payment_failed', declined({ id, account }, GENERIC));
    await notify(service.apiUrl, early);
    expect(await statesOf(service, early.id)).toEqual(['waiting']);

    expect(await commit()).toMatchObject({
      status: 402,
      body: { decline_code: 'generic_decline' },
    });
    await service.startWorker();
    await untilState(service, early.id, 'applied');
    expect(await eventTypesOf(service, id)).toEqual(['charge.failed']);
  }

  test('that does not exist waits and is applied when it appears; the client gets the answer', async () => {
    const { pending, early, restore } = await notifyBeforeCharge(service, 'restored');
    await startWorkerWithoutProcessor(service);
    await oneRound(service);
    expect(await statesOf(service, early.id)).toEqual(['waiting']);
    expect((await getCharge(service.apiUrl, pending.id)).status).toBe(404);

    await restore();
    await untilState(service, early.id, 'applied');
    const retry = await charge(service.apiUrl, 'restored');
    expect(retry).toMatchObject({ status: 201, body: { id: pending.id, status: 'succeeded' } });
    expect(retry.headers['idempotent-replayed']).toBe('true');
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.succeeded']);
  });

  test('that its client makes again is paid once', async () => {
    const { pending, early } = await notifyBeforeCharge(service, 'made again');
    const again = await charge(service.apiUrl, 'made again');
    expect(again).toMatchObject({ status: 201, body: { id: pending.id } });
    await startWorkerWithoutProcessor(service);
    await untilState(service, early.id, 'applied');
    expect(await eventTypesOf(service, pending.id)).toEqual(['charge.succeeded']);
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
    await startWorkerWithoutProcessor(service);
    await oneRound(service);
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
    const { early, restore } = await notifyBeforeCharge(service, 'behind many');
    // Older ones, about missing refunds of an existing charge.
    await service.db.query(
      `INSERT INTO processor_events (processor, id, type, account_id, charge_id, refund_id, state, fact, received_at)
       SELECT processor, 'evt_old_' || n, 'refund.created', account_id, charge_id, 're_absent', 'waiting', fact,
         received_at - interval '1 hour'
       FROM processor_events, generate_series(1, 150) AS n WHERE id = $1`,
      [early.id],
    );
    await restore();
    await startWorkerWithoutProcessor(service);
    await untilState(service, early.id, 'applied');
    await service.db.query(`DELETE FROM processor_events WHERE id LIKE 'evt_old_%'`);
  });

  test('one that always fails does not block others', async () => {
    const { early, restore } = await notifyBeforeCharge(service, 'behind poison');
    await service.db.query(
      `INSERT INTO processor_events (processor, id, type, account_id, charge_id, state, fact, received_at)
       SELECT processor, 'evt_poison', type, account_id, charge_id, 'waiting',
         jsonb_set(fact::jsonb, '{id}', '"evt_poison"') || '{"answer": {"kind": "refused"}}',
         received_at - interval '1 hour'
       FROM processor_events WHERE id = $1`,
      [early.id],
    );
    await restore();
    await startWorkerWithoutProcessor(service);
    await untilState(service, early.id, 'applied');
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
    const paid = await paymentOf(service, { id });
    for (let i = 0; i < 3; i++) {
      const again = event('payment_intent.succeeded', paid, newEventId());
      await notify(service.apiUrl, again);
      expect(await statesOf(service, again.id)).toEqual(['applied']);
    }
    expect((await charge(service.apiUrl, 'old news')).text).toBe(reply.text);
    expect(await eventTypesOf(service, id)).toEqual(['charge.succeeded']);
  });
});

const DECLINED = 'pm_card_visa_chargeDeclined';
const GENERIC = {
  last_payment_error: { code: 'card_declined', decline_code: 'generic_decline' },
};
