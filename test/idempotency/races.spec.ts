import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import { IdempotencyEngine } from '../../src/idempotency/engine.js';
import { ReserveRaced } from '../../src/idempotency/errors.js';
import { OperationRegistry, SilentProbe, type Plan } from '../../src/idempotency/operation.js';
import { freshDatabase } from '../support/database.js';

let database: Awaited<ReturnType<typeof freshDatabase>>;
let dataSource: DataSource;
let engine: IdempotencyEngine;
beforeAll(async () => {
  database = await freshDatabase();
  dataSource = await new DataSource({
    type: 'postgres',
    url: database.url,
    installExtensions: false,
  }).initialize();
  const operations = new OperationRegistry();
  const find = async () => undefined;
  operations.register({ name: 'POST /things', idPrefix: 'th', find });
  const options = { waitMs: 1_000, ttlSeconds: 60, leaseMs: 1_000, reapIntervalMs: 1_000 };
  engine = new IdempotencyEngine(dataSource, operations, new SilentProbe(), options);
});
afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

/** A plan whose reserve is raced that many times. */
function racedTimes(times: number): Plan {
  let races = 0;
  return {
    reserve: async () => {
      if (races++ < times) throw new ReserveRaced();
      return { answer: { status: 201, headers: {}, body: `after ${times} races` } };
    },
  };
}

function run(key: string, plan: Plan) {
  const request = {
    accountId: 'acct_raced',
    key,
    operation: 'POST /things',
    id: `th_${key}`,
    fingerprint: Buffer.from(key),
    members: {},
    requestId: `req_${key}`,
  };
  return engine.run(request, plan);
}

test('a reserve that loses races begins again until it wins', async () => {
  const { answer } = await run('wins', racedTimes(50));
  expect(answer.body).toBe('after 50 races');
});

test('a reserve that is raced each time ends as a fault, and leaves the key unused', async () => {
  await expect(run('never', racedTimes(Infinity))).rejects.toThrow('raced each time');
  const rows: unknown[] = await dataSource.query(
    `SELECT 1 FROM idempotency_records WHERE key = 'never'`,
  );
  expect(rows).toEqual([]);
  expect((await run('never', racedTimes(0))).answer.body).toBe('after 0 races');
});
