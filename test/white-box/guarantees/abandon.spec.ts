import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { dieAt } from '../../support/api-process.js';
import { expectCleanBooks, paymentsOf } from '../../support/books.js';
import { charge, chargeUntilAnswered, getCharge, lookUp } from '../../support/raw-client.js';
import { startService, type Service } from '../../support/service.js';
import { age, forgetAtProcessor } from '../../support/time.js';
import { until } from '../../support/until.js';
import {
  expectAbandoned,
  fencesOf,
  leaveOpen,
  PAST_THE_DEADLINE,
  PAST_THE_KEY_WINDOW,
} from './abandon.support.js';

/**
 * No customer is charged hours after an outage, and no answer says "nothing happened" after a payment. The order is
 * fence, look up, settle. SQL moves the times of a charge past its deadline.
 */
let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

describe('a charge that never reached the processor before its deadline', () => {
  test('is abandoned: 402 abandoned, a new key is allowed, and nothing was taken', async () => {
    const { apiUrl, db, sandboxUrl } = service;
    const id = await leaveOpen(service, 'abandoned', 'refusing');
    await age(db, id, PAST_THE_DEADLINE);
    const reply = await charge(apiUrl, 'abandoned');
    expectAbandoned(reply);
    expect(reply.body.charge).toBe(id);
    expect((await charge(apiUrl, 'abandoned')).text).toBe(reply.text);
    expect(await paymentsOf(sandboxUrl, id)).toEqual([]);
    // The processor has only the fence: a canceled intent that cannot be confirmed.
    expect((await fencesOf(service, id)).map(({ status }) => status)).toEqual(['canceled']);
  });

  test('can never be taken: the processor refuses the original under its key', async () => {
    const { apiUrl, db, sandboxUrl } = service;
    const id = await leaveOpen(service, 'late original', 'refusing');
    const { rows } = await db.query<{ prepared: string }>(
      'SELECT processor_parameters AS prepared FROM charges WHERE id = $1',
      [id],
    );
    await age(db, id, PAST_THE_DEADLINE);
    expectAbandoned(await charge(apiUrl, 'late original'));
    const { StripeProcessor } = await import('../../../src/processor/stripe-processor.js');
    const processor = new StripeProcessor({
      name: 'sandbox',
      secretKey: 'sk_test_sleeper',
      baseUrl: new URL(sandboxUrl),
      timeoutMs: 5_000,
    });
    expect((await processor.pay(id, rows[0]!.prepared)).kind).toBe('unknown');
    expect(await paymentsOf(sandboxUrl, id)).toEqual([]);
  });

  test('is independent of a charge with a new key', async () => {
    const { apiUrl, db, sandboxUrl } = service;
    const id = await leaveOpen(service, 'old key', 'refusing');
    await age(db, id, PAST_THE_DEADLINE);
    expectAbandoned(await charge(apiUrl, 'old key'));
    const second = await charge(apiUrl, 'new key');
    expect(second).toMatchObject({ status: 201 });
    expect(second.body.id).not.toBe(id);
    expect(await paymentsOf(sandboxUrl, id)).toEqual([]);
    expect(await paymentsOf(sandboxUrl, second.body.id)).toHaveLength(1);
  });

  test('stays pending while the processor is down, and ends without a client when it is up', async () => {
    const { apiUrl, db, gate } = service;
    const id = await leaveOpen(service, 'down throughout', 'refusing');
    gate.be('refusing');
    const worker = await service.startWorker();
    await age(db, id, PAST_THE_DEADLINE);
    const before = gate.attempts(id);
    await until(async () => gate.attempts(id) > before + 1);
    expect((await getCharge(apiUrl, id)).body.status).toBe('pending');
    gate.be('open');
    await until(async () => (await getCharge(apiUrl, id)).body.status === 'failed');
    expectAbandoned(await charge(apiUrl, 'down throughout'));
    await worker.stop();
  });
});

describe('a charge whose answer from the processor was lost', () => {
  test('succeeds within the deadline by a repeat under the same key', async () => {
    const { apiUrl, sandboxUrl } = service;
    const id = await leaveOpen(service, 'in time', 'losing');
    expect((await charge(apiUrl, 'in time')).status).toBe(201);
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
  });

  test.each([
    ['after the deadline and within the key window', PAST_THE_DEADLINE, false],
    ['after the key window though the processor still knows the key', PAST_THE_KEY_WINDOW, false],
    ['after the deadline while the processor forgot the key early', PAST_THE_DEADLINE, true],
    ['after the key window when the processor forgot the key', PAST_THE_KEY_WINDOW, true],
  ])('%s: succeeds and is not charged again', async (when, seconds, forgotten) => {
    const { apiUrl, db, sandboxUrl } = service;
    const id = await leaveOpen(service, when, 'losing');
    await age(db, id, seconds);
    if (forgotten) await forgetAtProcessor(db, id);
    const reply = await charge(apiUrl, when);
    expect(reply).toMatchObject({ status: 201, body: { id, status: 'succeeded' } });
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
  });

  test('within the deadline but after a shorter key window: is looked up, not sent', async () => {
    const { db, sandboxUrl } = service;
    const id = await leaveOpen(service, 'short memory', 'losing');
    await age(db, id, 30);
    await forgetAtProcessor(db, id);
    const api = await service.startApi({ SANDBOX_KEY_TTL_SECONDS: '20' });
    const reply = await charge(api.url, 'short memory');
    await api.stop();
    expect(reply).toMatchObject({ status: 201, body: { id, status: 'succeeded' } });
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
  });

  test.each([PAST_THE_DEADLINE, PAST_THE_KEY_WINDOW])(
    'and which it declined: is a decline, even %d s later',
    async (seconds) => {
      const { apiUrl, db, gate } = service;
      const declined = { payment_method: 'pm_card_visa_chargeDeclined' };
      gate.be('losing');
      const { body } = await charge(apiUrl, `declined ${seconds}`, declined);
      gate.be('open');
      await age(db, body.charge, seconds);
      const reply = await charge(apiUrl, `declined ${seconds}`, declined);
      expect(reply).toMatchObject({ status: 402, body: { code: 'card_declined' } });
    },
  );

  test('and whose key now replays a stored 500: the ledger decides', async () => {
    const { apiUrl, sandboxUrl } = service;
    const reply = await chargeUntilAnswered(apiUrl, 'stored 500', {
      payment_method: 'pm_lab_error_after_charge',
    });
    expect(reply).toMatchObject({ status: 201, body: { status: 'succeeded' } });
    expect(await paymentsOf(sandboxUrl, reply.body.id)).toHaveLength(1);
  });

  test('and whose key replays a stored 500 after the deadline: the ledger decides', async () => {
    const { apiUrl, db, gate, sandboxUrl } = service;
    const failing = { payment_method: 'pm_lab_error_after_charge' };
    gate.be('losing');
    const { body } = await charge(apiUrl, 'lost 500', failing);
    gate.be('open');
    await age(db, body.charge, PAST_THE_DEADLINE);
    expect(await chargeUntilAnswered(apiUrl, 'lost 500', failing)).toMatchObject({
      status: 201,
    });
    expect(await paymentsOf(sandboxUrl, body.charge)).toHaveLength(1);
  });
});

describe('a process that dies while it abandons a charge', () => {
  const MOMENTS = ['before the fence', 'after the fence', 'after the look'] as const;
  const ids = new Map<string, string>();
  beforeAll(async () => {
    const { db, gate } = service;
    for (const moment of MOMENTS) {
      const id = await leaveOpen(service, moment, 'refusing');
      await age(db, id, PAST_THE_DEADLINE);
      ids.set(moment, id);
    }
    // One kill for all three, each held at the gate or at its point.
    const dying = await service.startApiProcess({ diesWith: MOMENTS.length });
    const lost = [charge(dying.url, 'after the look', {}, dieAt('after-perform'))];
    await dying.dying(1);
    const answer = gate.holdAnswers(); // the call arrives, its answer is held
    lost.push(charge(dying.url, 'after the fence'));
    await until(async () => (await fencesOf(service, ids.get('after the fence')!)).length > 0);
    const open = gate.close();
    lost.push(charge(dying.url, 'before the fence'));
    await gate.held(1);
    const ends = Promise.allSettled(lost);
    await dying.kill();
    open();
    answer();
    expect((await ends).map(({ status }) => status)).toEqual(MOMENTS.map(() => 'rejected'));
  });

  test.each(MOMENTS)(
    '%s leaves a charge that any other process abandons as well',
    async (moment) => {
      const { apiUrl, db, sandboxUrl } = service;
      const id = ids.get(moment)!;
      await age(db, id, 15); // its lease, of ten seconds
      expectAbandoned(await chargeUntilAnswered(apiUrl, moment));
      expect((await lookUp(apiUrl, moment)).body.state).toBe('completed');
      expect(await paymentsOf(sandboxUrl, id)).toEqual([]);
    },
  );
});
