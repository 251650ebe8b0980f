import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectCleanBooks, ledger, paymentsOf } from '../../support/books.js';
import { charge } from '../../support/raw-client.js';
import { startService, type Service } from '../../support/service.js';
import { age, endLease } from '../../support/time.js';
import { until } from '../../support/until.js';
import { expectAbandoned, leaveOpen, PAST_THE_DEADLINE } from './abandon.support.js';

/** A charge is abandoned only after the processor's ledger was read to its end. */
let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

describe('a ledger that is too long to read within one deadline', () => {
  const PAGES = 4;
  beforeAll(async () => {
    for (let each = 0; each < PAGES; each++) await charge(service.apiUrl, `sold beside ${each}`);
  });
  /** Computed from the whole ledger, so that there are enough pages whichever tests ran before. */
  const pageSize = async () => {
    const { length } = await ledger(service.sandboxUrl);
    return Math.floor((length + 1) / PAGES); // plus one for the fence
  };

  test('is read to its end, page by page, by one attempt', async () => {
    const { db, gate, sandboxUrl } = service;
    const id = await leaveOpen(service, 'long ledger', 'refusing');
    await age(db, id, PAST_THE_DEADLINE);
    const api = await service.startApi({ PROCESSOR_TIMEOUT_MS: '4000' });
    let pages = 0;
    const end = gate.page(await pageSize(), () => {
      pages += 1;
      return pause(1_200); // in total longer than the deadline
    });
    expectAbandoned(await charge(api.url, 'long ledger'));
    end();
    await api.stop();
    expect(pages).toBeGreaterThanOrEqual(PAGES);
    expect(await paymentsOf(sandboxUrl, id)).toEqual([]);
    const { rows } = await db.query(
      'SELECT attempts FROM idempotency_records WHERE resource_id = $1',
      [id],
    );
    expect(rows).toEqual([{ attempts: 2 }]); // the attempt that did not reach the processor, and this one
  });

  test('is read no further by a process that has lost its lease', async () => {
    const { apiUrl, db, gate } = service;
    const id = await leaveOpen(service, 'overtaken look', 'refusing');
    await age(db, id, PAST_THE_DEADLINE);
    const api = await service.startApi();
    let pages = 0;
    let goOn = () => {};
    const held = new Promise<void>((resolve) => (goOn = resolve));
    const end = gate.page(await pageSize(), () => {
      pages += 1;
      return held;
    });
    const overtaken = charge(api.url, 'overtaken look');
    await until(async () => pages === 1);
    end();
    await endLease(db, 'overtaken look');
    const reply = await charge(apiUrl, 'overtaken look');
    expectAbandoned(reply);
    const endAgain = gate.page(1, async () => (pages += 1));
    goOn();
    expect((await overtaken).text).toBe(reply.text);
    endAgain();
    await api.stop();
    expect(pages).toBe(1);
  });
});
