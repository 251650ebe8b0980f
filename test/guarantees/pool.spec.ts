import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { charge, getCharge, lookUp } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';

describe('a pool of two connections', () => {
  let service: Service;
  beforeAll(async () => {
    const env = {
      ...{ DATABASE_POOL_SIZE: '2', IDEMPOTENCY_WAIT_MS: '30000' },
      PROCESSOR_TIMEOUT_MS: '60000', // on a busy machine sixty parallel requests take longer than usual
    };
    service = await startService({ env });
  });
  afterAll(() => expectCleanBooks(service));
  afterAll(() => service.stop());

  test('serves fifty duplicates of one slow charge and ten other charges: all finish', async () => {
    const { apiUrl, sandboxUrl } = service;
    const slow = { payment_method: 'pm_lab_slow' };
    const first = charge(apiUrl, 'slow', slow);
    const waiters = Array.from({ length: 50 }, () => charge(apiUrl, 'slow', slow));
    const others = Array.from({ length: 10 }, (_, i) => charge(apiUrl, `other ${i}`));

    expect((await Promise.all(others)).map(({ status }) => status)).toEqual(Array(10).fill(201));
    const replies = await Promise.all([first, ...waiters]);
    expect(replies.map(({ status }) => status)).toEqual(Array(51).fill(201));
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(await paymentsOf(sandboxUrl, replies[0].body.id)).toHaveLength(1);
  });

  test('is free while the processor works on twenty charges: no transaction, no connection', async () => {
    const { apiUrl, gate, db } = service;
    const open = gate.close();
    const charges = Array.from({ length: 20 }, (_, i) => charge(apiUrl, `held ${i}`));
    await gate.held(20);

    const { rows } = await db.query(
      `SELECT state, count(*)::int FROM pg_stat_activity
       WHERE application_name = 'charge-once' AND datname = current_database() GROUP BY state`,
    );
    expect(rows).toEqual([{ state: 'idle', count: 2 }]);
    // A request that held a pooled connection now would block these forever.
    const found = await Promise.all(
      charges.map((_, i) => lookUp(apiUrl, `held ${i}`).then(({ body }) => body.state)),
    );
    expect(found).toEqual(Array(20).fill('in_progress'));

    open();
    for (const reply of await Promise.all(charges)) {
      expect((await getCharge(apiUrl, reply.body.id)).body.status).toBe('succeeded');
    }
  });

  test('is free while fifty duplicates wait for one answer', async () => {
    const { apiUrl, gate } = service;
    const open = gate.close();
    const first = charge(apiUrl, 'waited for');
    await gate.held(1);
    const waiters = Array.from({ length: 50 }, () => charge(apiUrl, 'waited for'));
    // Meanwhile another charge runs through, up to the processor.
    const other = charge(apiUrl, 'passes');
    await gate.held(2);
    open();
    expect((await other).status).toBe(201);
    const texts = (await Promise.all(waiters)).map(({ text }) => text);
    expect(new Set([...texts, (await first).text]).size).toBe(1);
  });
});
