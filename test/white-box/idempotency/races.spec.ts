import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Request } from 'express';
import type { Database } from '../../../src/idempotency/database.js';
import type { IdempotencyEngine } from '../../../src/idempotency/engine.js';
import {
  IdempotencyKeyExpired,
  IdempotencyKeyReused,
  ReserveRaced,
} from '../../../src/idempotency/errors.js';
import { IdempotencyKeysController } from '../../../src/idempotency/idempotency-keys.controller.js';
import type { FoundResource, Plan } from '../../../src/idempotency/operation.js';
import { claimRecord } from '../../../src/idempotency/lease.js';
import type { IdempotencyRecord, KeyedRequest } from '../../../src/idempotency/record.entity.js';
import { deleteExpired, findRecord, insertOrFindRecord } from '../../../src/idempotency/records.js';
import { complete, engineAlone } from './engine.support.js';

/** The engine alone, with an operation whose object the test controls. */
let find: () => Promise<FoundResource | undefined>;
let alone: Awaited<ReturnType<typeof engineAlone>>;
let db: Database;
let engine: IdempotencyEngine;
let keys: IdempotencyKeysController;
beforeAll(async () => {
  alone = await engineAlone({ name: 'POST /things', idPrefix: 'th', find: () => find() }, 20);
  ({ db } = alone);
  const options = { waitMs: 1_000, ttlSeconds: 60, leaseMs: 1_000, reapIntervalMs: 1_000 };
  ({ engine } = alone.start(options));
  const facts = { accountId: () => 'acct_races', requestId: () => 'req_races' };
  keys = new IdempotencyKeysController(db, alone.operations, facts);
});
beforeEach(() => {
  find = async () => undefined;
});
afterAll(() => alone.close());

const lookUp = (key: string) => keys.find(key, {} as Request);

let requests = 0;
const request = (key: string, body = key): KeyedRequest => ({
  accountId: 'acct_races',
  key,
  operation: 'POST /things',
  id: `th_${key}`,
  fingerprint: Buffer.from(body),
  members: {},
  requestId: `req_${++requests}`,
});

const insert = async (keyed: KeyedRequest, leaseMs: number) =>
  (await insertOrFindRecord(db, keyed, leaseMs))?.claim;
const remove = (record: IdempotencyRecord) => db.transaction((tx) => deleteExpired(tx, record));

/** A plan whose reserve loses that many races. */
function racedTimes(times: number): Plan {
  let races = 0;
  return {
    reserve: async () => {
      if (races++ < times) throw new ReserveRaced();
      return { answer: { status: 201, headers: {}, body: `after ${times} races` } };
    },
  };
}

test('of twenty concurrent inserts one wins, and the others are not errors', async () => {
  for (let round = 0; round < 150; round++) {
    const inserts = Array.from({ length: 20 }, () => insert(request(`inserts ${round}`), 1_000));
    const claims = await Promise.all(inserts);
    expect(claims.filter((claim) => claim !== undefined)).toHaveLength(1);
  }
});

test('a reserve that loses a race runs again until it wins', async () => {
  const { answer } = await engine.run(request('wins'), racedTimes(50));
  expect(answer.body).toBe('after 50 races');
});

test('a reserve that loses every race ends as an error, and leaves the key unused', async () => {
  const raced = engine.run(request('never'), racedTimes(Infinity));
  await expect(raced).rejects.toThrow('loses every race');
  const rows = await db.query(`SELECT 1 FROM idempotency_records WHERE key = 'never'`);
  expect(rows).toEqual([]);
  const { answer } = await engine.run(request('never'), racedTimes(0));
  expect(answer.body).toBe('after 0 races');
});

test('a record of this id with another key ends as an error, not in an endless loop', async () => {
  await insert(request('moved'), 1_000);
  await db.query(`UPDATE idempotency_records SET key = 'elsewhere' WHERE key = 'moved'`);
  await expect(engine.run(request('moved'), racedTimes(0))).rejects.toThrow('loses every race');
});

const thing = (key: string) => async () => ({
  object: 'thing',
  id: `th_${key}`,
  url: '/',
  failed: false,
  createdAt: new Date(),
});

/** Another request makes the object between the lookup of the record and the lookup of the object. */
function madeMeanwhile(key: string): void {
  find = async () => {
    find = thing(key);
    await engine.run(request(key), racedTimes(0));
    return find();
  };
}

test.each([
  { refused: 'by validation', plan: new Error('invalid') },
  { refused: 'by its reserve', plan: { reserve: () => Promise.reject(new Error('refused')) } },
])(
  'a request that is refused $refused while its key makes the object gets the answer',
  async ({ refused, plan }) => {
    madeMeanwhile(refused);
    const result = await engine.run(request(refused), plan);
    expect(result).toMatchObject({ replayed: true, answer: { body: 'after 0 races' } });
    const other = request(refused, 'another body');
    await expect(engine.run(other, new Error('invalid'))).rejects.toThrow(IdempotencyKeyReused);
  },
);

test('a key that is looked up while it makes its object is not reported as expired', async () => {
  madeMeanwhile('looked up');
  expect(await lookUp('looked up')).toMatchObject({ state: 'completed', key: 'looked up' });
});

test('an object without a record means an expired key, whatever the refusal of the request', async () => {
  find = thing('expired');
  for (const plan of [new Error('invalid'), racedTimes(Infinity)])
    await expect(engine.run(request('expired'), plan)).rejects.toThrow(IdempotencyKeyExpired);
  expect(await lookUp('expired')).toMatchObject({ state: 'expired' });
});

test('a record that completes after a sweep found its lease expired is not taken over', async () => {
  await insert(request('completed meanwhile'), -1);
  const found = await findRecord(db, 'acct_races', 'completed meanwhile');
  expect(found).toMatchObject({ free: true, epoch: 1 });
  await complete(db, 'completed meanwhile');
  expect(await claimRecord(db, found!, 1_000)).toBeUndefined();
});

test('an expired record that was replaced after it was read is not deleted, unfinished or completed', async () => {
  const key = 'made again';
  await insert(request(key), 1_000);
  await complete(db, key, { expiresIn: '-1 second' });
  const expired = await findRecord(db, 'acct_races', key);
  expect(expired).toMatchObject({ expired: true, epoch: 1 });
  await remove(expired!);
  expect(await findRecord(db, 'acct_races', key)).toBeUndefined();

  await insert(request(key), 1_000); // the same id, the same epoch
  await remove(expired!);
  await complete(db, key);
  await remove(expired!);
  expect(await findRecord(db, 'acct_races', key)).toMatchObject({ state: 'completed', epoch: 1 });
});
