import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { ProbePoint } from '../support/internals.js';
import type { ApiProcess } from '../support/api-process.js';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { chargeAsleep } from '../support/charge-asleep.js';
import { charge, chargeUntilAnswered, getCharge } from '../support/raw-client.js';
import { startService, type Running, type Service } from '../support/service.js';
import { age, forgetAtProcessor } from '../support/time.js';
import { until } from '../support/until.js';

/**
 * A process stops (SIGSTOP, a paused virtual machine, a long garbage collection), loses its lease, and continues as if
 * nothing had happened. It must not take money for an abandoned charge, nor overwrite what others wrote.
 */
let service: Service;
let sleeper: ApiProcess;
beforeAll(async () => {
  service = await startService();
  // A sleeper that wakes up in the second half of its time asks the database first, and finds its claim lost. In these
  // tests it wakes up in the first half, however slowly others take over.
  sleeper = await service.startApiProcess({ naps: true, env: { PROCESSOR_TIMEOUT_MS: '60000' } });
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

const PAST_THE_DEADLINE = 301;
const PAST_THE_LEASE = 65;
const PAST_THE_SPAN = 2 * 3600;

const fallAsleep = (at: ProbePoint, key: string, process = sleeper) =>
  chargeAsleep(service.db, process, at, key);

let worker: Running | undefined;
afterEach(async () => {
  await worker?.stop();
});

const statusOf = async (id: string) => (await getCharge(service.apiUrl, id)).body.status;
const recordOf = async (id: string) =>
  (
    await service.db.query<{ epoch: number; state: string }>(
      'SELECT epoch, state FROM idempotency_records WHERE resource_id = $1',
      [id],
    )
  ).rows[0];

describe('a process that sleeps just before its call to the processor', () => {
  test('finds the fence when it wakes up after the charge was abandoned, and takes nothing', async () => {
    const { apiUrl, db, gate, sandboxUrl } = service;
    const { id, reply } = await fallAsleep('before-perform', 'fenced');
    // By the database's clock only: the sleeping process still believes that it has time, and sends its call.
    await age(db, id, PAST_THE_DEADLINE);
    worker = await service.startWorker();
    await until(async () => (await statusOf(id)) === 'failed');
    const stored = await charge(apiUrl, 'fenced');
    const before = gate.attempts(id);
    sleeper.wake();

    const late = await reply;
    expect(gate.attempts(id)).toBeGreaterThan(before);
    expect(late).toMatchObject({
      status: 402,
      body: { code: 'charge_failed', failure_code: 'abandoned' },
    });
    expect(late.text).toBe(stored.text);
    expect(late.headers['idempotent-replayed']).toBe('true');
    expect(await paymentsOf(sandboxUrl, id)).toEqual([]);
  });

  test('notices that the deadline passed while it slept, even if no other process has abandoned the charge', async () => {
    const { sandboxUrl } = service;
    const impatient = await service.startApiProcess({
      env: { CHARGE_DEADLINE_SECONDS: '1' },
      naps: true,
    });
    const { id, reply } = await fallAsleep('before-perform', 'no worker', impatient);
    const asleepSince = performance.now();
    await until(async () => performance.now() - asleepSince > 1_100);
    impatient.wake();
    const late = await reply;
    await impatient.kill();
    expect(late).toMatchObject({ status: 402, body: { failure_code: 'abandoned' } });
    expect(await paymentsOf(sandboxUrl, id)).toEqual([]);
  });

  test('and the process that took over charge once: both send the same call', async () => {
    const { apiUrl, db, sandboxUrl } = service;
    const { id, reply } = await fallAsleep('before-perform', 'taken over');
    await age(db, id, PAST_THE_LEASE);
    const taken = await chargeUntilAnswered(apiUrl, 'taken over');
    expect(taken.status).toBe(201);
    sleeper.wake();
    const late = await reply;
    expect(late.text).toBe(taken.text);
    expect(late.headers['idempotent-replayed']).toBe('true');
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
  });
});

describe('a process that sleeps after the processor answered', () => {
  test.each(['the worker', 'a retry'])(
    'loses its lease to %s: one writes, the other replays',
    async (who) => {
      const { apiUrl, db, sandboxUrl } = service;
      const { id, reply } = await fallAsleep('after-perform', who);
      expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
      expect(await statusOf(id)).toBe('pending');
      await age(db, id, PAST_THE_LEASE);
      if (who === 'the worker') worker = await service.startWorker();
      else await charge(apiUrl, who);
      await until(async () => (await recordOf(id))?.state === 'completed');
      const stored = await charge(apiUrl, who);
      const written = await recordOf(id);
      sleeper.wake();

      const late = await reply;
      expect(late).toMatchObject({ status: 201, text: stored.text });
      expect(late.headers['idempotent-replayed']).toBe('true');
      expect(await recordOf(id)).toEqual(written);
      expect(written?.epoch).toBe(2);
      expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
    },
  );

  test('while others abandon the charge settles nothing: they found its payment', async () => {
    const { db, sandboxUrl } = service;
    const { id, reply } = await fallAsleep('after-perform', 'found');
    await age(db, id, PAST_THE_DEADLINE);
    worker = await service.startWorker();
    await until(async () => (await statusOf(id)) === 'succeeded');
    sleeper.wake();
    expect(await reply).toMatchObject({ status: 201, body: { id } });
    expect(await paymentsOf(sandboxUrl, id)).toHaveLength(1);
  });

  test('reports a success for a failed charge: the payment is parked once, and an alarm is logged', async () => {
    const { db } = service;
    const { id, reply } = await fallAsleep('after-perform', 'parked');
    // The processor forgets the key, which defeats the fence, and the payment is outside of the span that is read.
    await forgetAtProcessor(db, id);
    await db.query(
      `UPDATE sandbox.payment_intents SET created_at = created_at - $2 * interval '1 second'
       WHERE metadata ->> 'charge' = $1`,
      [id, PAST_THE_SPAN],
    );
    await age(db, id, PAST_THE_DEADLINE);
    worker = await service.startWorker();
    await until(async () => (await statusOf(id)) === 'failed');
    sleeper.wake();

    expect(await reply).toMatchObject({ status: 402, body: { failure_code: 'abandoned' } });
    const { rows: parked } = await db.query('SELECT * FROM parked_payments');
    const { rows: paid } = await db.query<{ id: string }>(
      `DELETE FROM sandbox.payment_intents WHERE metadata ->> 'charge' = $1 RETURNING id`,
      [id], // so that the books of this file are clean
    );
    expect(parked).toEqual([
      expect.objectContaining({
        charge_id: id,
        processor_reference: paid[0]!.id,
        amount: '1200',
        reason: 'succeeded_after_failed',
      }),
    ]);
    expect(sleeper.complaints()).toContain(
      `${id} does not account for ${paid[0]!.id} (succeeded_after_failed): parked`,
    );
    expect(await statusOf(id)).toBe('failed');
  });
});
