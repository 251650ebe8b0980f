import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DataSource } from 'typeorm';
import type { Request } from 'express';
import { IdempotencyEngine } from '../../src/idempotency/engine.js';
import { IdempotencyKeyExpired, ReserveRaced } from '../../src/idempotency/errors.js';
import { IdempotencyKeysController } from '../../src/idempotency/idempotency-keys.controller.js';
import { OperationRegistry, SilentProbe, type Plan } from '../../src/idempotency/operation.js';
import { freshDatabase } from '../support/database.js';

let database: Awaited<ReturnType<typeof freshDatabase>>;
let dataSource: DataSource;
let engine: IdempotencyEngine;
let keys: IdempotencyKeysController;
/** Done once, at the moment when somebody looks for an object, having found no record. */
let meanwhile: (() => Promise<unknown>) | undefined;
beforeAll(async () => {
  database = await freshDatabase();
  dataSource = await new DataSource({
    type: 'postgres',
    url: database.url,
    installExtensions: false,
  }).initialize();
  const operations = new OperationRegistry();
  operations.register({ name: 'POST /things', idPrefix: 'th', find: async () => undefined });
  operations.register({
    name: 'POST /made-meanwhile',
    idPrefix: 'mm',
    async find(_db, _account, id) {
      const make = meanwhile;
      meanwhile = undefined;
      await make?.();
      return { object: 'thing', id, url: `/things/${id}`, failed: false, createdAt: new Date() };
    },
  });
  const options = { waitMs: 1_000, ttlSeconds: 60, leaseMs: 1_000, reapIntervalMs: 1_000 };
  engine = new IdempotencyEngine(dataSource, operations, new SilentProbe(), options);
  const facts = { accountId: () => 'acct_raced', requestId: () => 'req_1' };
  keys = new IdempotencyKeysController(dataSource, operations, facts);
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

function run(key: string, plan: Plan | Error, operation = 'POST /things') {
  const request = {
    accountId: 'acct_raced',
    key,
    operation,
    id: `th_${key}`,
    fingerprint: Buffer.from(key),
    members: {},
    requestId: randomUUID(),
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

describe('an object that is made between two looks is not taken for what an expired key has left', () => {
  const MADE = 'POST /made-meanwhile';
  const made: Plan = {
    reserve: async () => ({ answer: { status: 201, headers: {}, body: 'the winner’s' } }),
  };

  test('by a request that was refused', async () => {
    meanwhile = () => run('refused', made, MADE);
    const { answer, replayed } = await run('refused', new Error('not valid'), MADE);
    expect([answer.body, replayed]).toEqual(['the winner’s', true]);
  });

  test('by a reserve that met it', async () => {
    meanwhile = () => run('met', made, MADE);
    const meets: Plan = {
      reserve: async () => {
        throw new ReserveRaced();
      },
    };
    expect((await run('met', meets, MADE)).answer.body).toBe('the winner’s');
  });

  test('by a lookup of the key', async () => {
    meanwhile = () => run('looked up', made, MADE);
    const state = await keys.find('looked up', {} as Request);
    expect(state).toMatchObject({ state: 'completed', operation: MADE });
  });

  test('while one that stands alone still is', async () => {
    await expect(run('alone', new Error('not valid'), MADE)).rejects.toThrow(IdempotencyKeyExpired);
    expect(await keys.find('alone', {} as Request)).toMatchObject({ state: 'expired' });
  });
});
