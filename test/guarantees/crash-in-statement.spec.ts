import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { deriveId } from '../support/internals.js';
import type { Beat } from '../support/database-proxy.js';
import { expectCleanBooks, paymentsOf } from '../support/books.js';
import { holdStatements } from '../support/held-statement.js';
import { charge, chargeUntilAnswered, getCharge, lookUp } from '../support/raw-client.js';
import { startService, type Service } from '../support/service.js';
import { until } from '../support/until.js';

/**
 * A charge that pays no order needs one statement for each beat. The API dies (kill -9) after it sent the statement and
 * before it read the answer: PostgreSQL has executed all of it or nothing.
 */
let service: Service;
let idOf: (key: string) => string;
beforeAll(async () => {
  // Long enough for one retry to wait until the lease expires.
  service = await startService({ env: { IDEMPOTENCY_WAIT_MS: '30000' } });
  const account = await service.db.query(`SELECT id FROM accounts WHERE name = 'acme'`);
  idOf = (key) => deriveId('ch', account.rows[0].id, 'POST /charges', key);
});
afterAll(() => expectCleanBooks(service));
afterAll(() => service.stop());

interface Case {
  beat: Beat;
  /**
   * `undone`: the server notices the death while the statement runs. `committed`: the statement ends before the death.
   */
  end: 'undone' | 'committed';
  rows: 'none' | 'pending' | 'settled';
  paid: 0 | 1;
}

const CASES: Case[] = [
  { beat: 'reserve', end: 'undone', rows: 'none', paid: 0 },
  { beat: 'reserve', end: 'committed', rows: 'pending', paid: 0 },
  { beat: 'settle', end: 'undone', rows: 'pending', paid: 1 },
  { beat: 'settle', end: 'committed', rows: 'settled', paid: 1 },
];
const retried = ({ beat, end }: Case) => `${beat} ${end} retried`;
const left = ({ beat, end }: Case) => `${beat} ${end} left alone`;

async function crash(of: Case): Promise<void> {
  const { beat, end } = of;
  const keys = [retried(of), left(of)];
  const doomed = await service.startApiProcess();
  const held = await holdStatements({ ...service, apiUrl: doomed.url, beat, keys });
  if (end === 'committed') {
    process.kill(doomed.pid, 'SIGSTOP'); // so that it cannot read the answers
    await held.release();
    const state = beat === 'reserve' ? 'in_progress' : 'completed';
    await until(async () => (await recordsIn(state, keys)) === keys.length);
  }
  await doomed.kill();
  await until(async () => (await held.waiting()) === 0);
  await held.release();
  const answers = await Promise.allSettled(held.replies);
  expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
}

async function recordsIn(state: string, keys: string[]): Promise<number | null> {
  const sql = 'SELECT FROM idempotency_records WHERE state = $1 AND key = ANY($2)';
  return (await service.db.query(sql, [state, keys])).rowCount;
}

describe.each(CASES)('a kill -9 of the API, $beat sent and $end', (of) => {
  beforeAll(() => crash(of));

  test('leaves both rows written or both unwritten', async () => {
    for (const key of [retried(of), left(of)]) {
      const found = await lookUp(service.apiUrl, key);
      const charged = await getCharge(service.apiUrl, idOf(key));
      if (of.rows === 'none') {
        expect([found.status, charged.status]).toEqual([404, 404]);
      } else {
        const settled = of.rows === 'settled';
        expect(found.body.state).toBe(settled ? 'completed' : 'in_progress');
        expect(charged.body.status).toBe(settled ? 'succeeded' : 'pending');
      }
      expect(await paymentsOf(service.sandboxUrl, idOf(key))).toHaveLength(of.paid);
    }
  });

  test('a retry with the same key gets one charge', async () => {
    const key = retried(of);
    const retry = await chargeUntilAnswered(service.apiUrl, key);
    expect(retry).toMatchObject({ status: 201, body: { id: idOf(key), status: 'succeeded' } });
    expect('idempotent-replayed' in retry.headers).toBe(of.rows === 'settled');
    expect((await lookUp(service.apiUrl, key)).body).toMatchObject({
      state: 'completed',
      attempts: of.rows === 'pending' ? 2 : 1,
    });
    expect(await paymentsOf(service.sandboxUrl, idOf(key))).toHaveLength(1);
    expect((await charge(service.apiUrl, key)).text).toBe(retry.text);
  });
});

test.each(CASES)(
  '$beat sent and $end, without a retry: the worker finishes the charge',
  async (of) => {
    const worker = await service.startWorker();
    const key = left(of);
    if (of.rows === 'none') {
      expect((await lookUp(service.apiUrl, key)).status).toBe(404);
    } else {
      await until(async () => (await lookUp(service.apiUrl, key)).body.state === 'completed');
      expect((await getCharge(service.apiUrl, idOf(key))).body.status).toBe('succeeded');
    }
    const paid = of.rows === 'none' ? 0 : 1;
    expect(await paymentsOf(service.sandboxUrl, idOf(key))).toHaveLength(paid);
    await worker.stop();
  },
);
