import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { charge, lookUp } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { endLease } from '../support/time.js';
import { until } from '../support/until.js';

describe('a request that slept until its lease had expired', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => expectCleanBooks(service));
  afterAll(() => service.stop());

  test('and the request that took over: one writes, the other replays the stored answer', async () => {
    const { apiUrl, sandboxUrl, gate } = service;
    const wake = gate.close();
    const sleeper = charge(apiUrl, 'slept');
    await gate.held(1);
    await endLease(service.db, 'slept');
    const finish = gate.close();
    const successor = charge(apiUrl, 'slept');
    await gate.held(2);

    wake(); // the processor answers the sleeping request first
    await until(async () => {
      const { rows } = await service.db.query('SELECT 1 FROM sandbox.payment_intents');
      return rows.length === 1;
    });
    finish();
    const [late, answer] = await Promise.all([sleeper, successor]);

    expect([late.status, answer.status]).toEqual([201, 201]);
    expect(late.text).toBe(answer.text);
    // The first writer stores the success; the second finds it done.
    const replays = [late, answer].filter(({ headers }) => 'idempotent-replayed' in headers);
    expect(replays).toHaveLength(1);
    expect(await paymentsOf(sandboxUrl, answer.body.id)).toHaveLength(1);
    expect((await lookUp(apiUrl, 'slept')).body).toMatchObject({ state: 'completed', attempts: 2 });
  });

  test('does not answer 504 for a charge that another request has settled', async () => {
    const impatient = await service.startApi({ PROCESSOR_TIMEOUT_MS: '5000' });
    const { apiUrl, gate } = service;
    const open = gate.close();
    const sleeper = charge(impatient.url, 'late 504');
    await gate.held(1);
    await endLease(service.db, 'late 504');
    gate.close()(); // requests from now on pass immediately
    const answer = await charge(apiUrl, 'late 504');
    expect(answer.status).toBe(201);

    const late = await sleeper; // its own call ran into the deadline at the gate
    expect(late).toMatchObject({ status: 201, text: answer.text });
    expect(late.headers['idempotent-replayed']).toBe('true');
    open();
    await impatient.stop();
  });
});
