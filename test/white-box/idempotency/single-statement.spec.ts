import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Database, Tx } from '../../../src/idempotency/database.js';
import type { IdempotencyEngine } from '../../../src/idempotency/engine.js';
import {
  IdempotencyKeyExpired,
  IdempotencyRequestInProgress,
} from '../../../src/idempotency/errors.js';
import { extendLease, uncountAttempt } from '../../../src/idempotency/lease.js';
import type { Operation, Write } from '../../../src/idempotency/operation.js';
import { claimOf, type Claim } from '../../../src/idempotency/record.entity.js';
import { findRecord, insertOrFindRecord, seizeRecord } from '../../../src/idempotency/records.js';
import { until } from '../../support/until.js';
import { complete, DONE, engineAlone, requestFor, statementsThatWait } from './engine.support.js';

/** The engine alone, with an operation whose beats are one statement each. A test decides what happens meanwhile. */
const ACCOUNT = 'acct_single';
const OPTIONS = { waitMs: 200, ttlSeconds: 60, leaseMs: 10_000, reapIntervalMs: 1_000 };
let alone: Awaited<ReturnType<typeof engineAlone>>;
let db: Database;
let engine: IdempotencyEngine;
let key: string;
/** Runs before the outside call ends. */
let perform: () => Promise<void>;
let settling: Write;
let performed: number;

beforeAll(async () => {
  alone = await engineAlone(THINGS, 25);
  ({ db } = alone);
  await db.query(`CREATE TABLE things (account_id text, id text, state text CHECK (state <> 'forbidden'),
    settled integer DEFAULT 0, PRIMARY KEY (account_id, id))`);
  await db.query(`CREATE TABLE thing_events (id text, type text CHECK (type <> 'forbidden'))`);
  ({ engine } = alone.start(OPTIONS));
});
beforeEach(() => {
  key = randomUUID();
  perform = async () => undefined;
  settling = settleThing();
  performed = 0;
});
afterAll(() => alone.close());

const THINGS: Operation = {
  name: 'POST /things',
  idPrefix: 'th',
  find: async (on, accountId, id) => {
    const sql = 'SELECT FROM things WHERE account_id = $1 AND id = $2';
    const [thing] = await on.query<object>(sql, [accountId, id]);
    return thing && { object: 'thing', id, url: '/', failed: false, createdAt: new Date() };
  },
  outside: {
    load: async () => 'work',
    perform: async () => {
      performed += 1;
      await perform();
      return { ended: true, outcome: 'outcome' };
    },
    settle: () => ({ answer: DONE, write: settling }),
  },
};

/** Also writes an event, so that a losing attempt that writes is detected: the object's primary key would hide it. */
const insertThing = (state = 'pending'): Write => ({
  sql: `object AS (
    INSERT INTO things (account_id, id, state) SELECT account_id, resource_id, $1 FROM record RETURNING id
  ), event AS (INSERT INTO thing_events SELECT id, 'made' FROM object)`,
  values: [state],
});

/** Has no condition on the state: only the engine makes it run once. */
const settleThing = (event = 'settled'): Write => ({
  sql: `object AS (
    UPDATE things SET state = 'done', settled = settled + 1 FROM record
    WHERE things.account_id = record.account_id AND things.id = record.resource_id RETURNING things.id
  ), event AS (INSERT INTO thing_events SELECT id, $1 FROM object)`,
  values: [event],
});

const request = () => requestFor(ACCOUNT, key);
const run = (write = insertThing(), waitMs = OPTIONS.waitMs) =>
  engine.run(request(), { insert: () => ({ ...write, work: () => 'work' }) }, waitMs);
const record = () => findRecord(db, ACCOUNT, key);
const claim = async (): Promise<Claim> => claimOf((await record())!);

/** The object's row, and its events. */
async function written() {
  const id = `th_${key}`;
  const things = await db.query('SELECT state, settled FROM things WHERE id = $1', [id]);
  const ofThing = 'SELECT type FROM thing_events WHERE id = $1';
  const events = await db.query<{ type: string }>(ofThing, [id]);
  return { things, events: events.map(({ type }) => type).sort() };
}
const NOTHING = { things: [], events: [] };
const PENDING = { things: [{ state: 'pending', settled: 0 }], events: ['made'] };
const SETTLED = { things: [{ state: 'done', settled: 1 }], events: ['made', 'settled'] };

/** While the settle waits for the record, another transaction changes it and commits. Only the first time. */
function changeWhileItWaits(change: (tx: Tx) => Promise<unknown>): void {
  perform = () =>
    new Promise((changed, failed) => {
      perform = async () => undefined;
      db.transaction(async (tx) => {
        await change(tx);
        changed();
        await until(async () => (await statementsThatWait(db)) === 1);
      }).catch(failed);
    });
}

describe('record and object', () => {
  test('commit together, in one transaction for each beat', async () => {
    const transactions: unknown[] = [];
    perform = async () => {
      expect(await record()).toMatchObject({ state: 'in_progress', epoch: 1 });
      expect(await written()).toEqual(PENDING);
      transactions.push(await transactionsOf());
    };
    expect((await run()).answer).toEqual(DONE);
    expect(await record()).toMatchObject({ state: 'completed', response_body: 'done' });
    expect(await written()).toEqual(SETTLED);
    transactions.push(await transactionsOf());
    for (const { of_record, of_thing } of transactions as Record<string, string>[])
      expect(of_record).toBe(of_thing);
  });

  test('are both absent if the object cannot be written, and the key is unused', async () => {
    await expect(run(insertThing('forbidden'))).rejects.toMatchObject({ code: '23514' });
    expect([await record(), await written()]).toEqual([undefined, NOTHING]);
    expect((await run()).replayed).toBe(false);
    expect(await written()).toEqual(SETTLED);
  });

  test('are both unchanged if a row that belongs to the object cannot be written', async () => {
    settling = settleThing('forbidden');
    await expect(run()).rejects.toMatchObject({ code: '23514' });
    expect(await record()).toMatchObject({ state: 'in_progress', response_body: null });
    expect(await written()).toEqual(PENDING);
  });

  test('a settle that finds no object is error 22012, and the record stays in progress', async () => {
    perform = async () => void (await db.query('DELETE FROM things WHERE id = $1', [`th_${key}`]));
    await expect(run()).rejects.toMatchObject({ code: '22012' });
    expect(await record()).toMatchObject({ state: 'in_progress', response_body: null });
    expect(await written()).toEqual({ things: [], events: ['made'] });
  });

  /** The transactions that wrote the current rows. */
  async function transactionsOf() {
    const [row] = await db.query(
      `SELECT idempotency_records.xmin AS of_record, things.xmin AS of_thing
       FROM idempotency_records JOIN things ON things.id = resource_id WHERE key = $1`,
      [key],
    );
    return row;
  }
});

describe('while the settle waits for the record', () => {
  test('and loses its lease: it writes nothing', async () => {
    changeWhileItWaits((tx) => seizeRecord(tx, ACCOUNT, `th_${key}`));
    await expect(run()).rejects.toThrow(IdempotencyRequestInProgress);
    expect(await record()).toMatchObject({ state: 'in_progress', epoch: 2, response_body: null });
    expect(await written()).toEqual(PENDING);
  });

  test('and another attempt settles: it writes nothing, and replays', async () => {
    changeWhileItWaits(async (tx) => {
      await seizeRecord(tx, ACCOUNT, `th_${key}`);
      await complete(tx, key, { body: 'theirs' });
    });
    expect(await run()).toMatchObject({ replayed: true, answer: { body: 'theirs' } });
    expect(await written()).toEqual(PENDING);
  });

  test.each<[string, (tx: Tx) => Promise<unknown>]>([
    ['its lease is extended', async (tx) => extendLease(tx, await claim(), OPTIONS.leaseMs)],
    [
      'an attempt is taken out of the count',
      async (tx) => {
        await db.query('UPDATE idempotency_records SET failures = 1 WHERE key = $1', [key]);
        await uncountAttempt(tx, { ...(await claim()), bySweep: true });
      },
    ],
  ])('%s, and the claim holds: it settles once', async (_, change) => {
    changeWhileItWaits(change);
    expect(await run()).toMatchObject({ replayed: false, answer: DONE });
    expect(performed).toBe(1);
    expect(await record()).toMatchObject({ state: 'completed', epoch: 1, failures: 0 });
    expect(await written()).toEqual(SETTLED);
  });
});

describe('an expired record', () => {
  beforeEach(async () => {
    await run();
    await db.query(
      `UPDATE idempotency_records SET expires_at = now() - interval '1 second' WHERE key = $1`,
      [key],
    );
  });

  test('whose object exists stays, and the key is expired', async () => {
    const before = await record();
    expect(before).toMatchObject({ expired: true });
    await expect(run()).rejects.toThrow(IdempotencyKeyExpired);
    expect(await record()).toEqual(before);
    expect(await written()).toEqual(SETTLED);
  });

  test.each(['expired', 'reaped'])('%s: no insert that ignores conflicts runs', async (state) => {
    if (state === 'reaped') await db.query('DELETE FROM idempotency_records WHERE key = $1', [key]);
    const { sql, values } = insertThing();
    const ignoring = { sql: sql.replace('RETURNING', 'ON CONFLICT DO NOTHING RETURNING'), values };
    await expect(run(ignoring)).rejects.toThrow(IdempotencyKeyExpired);
    expect(performed).toBe(1);
  });

  test('whose object is gone is replaced, in one transaction with a new object', async () => {
    await db.query('DELETE FROM things WHERE id = $1', [`th_${key}`]);
    await expect(run(insertThing('forbidden'))).rejects.toMatchObject({ code: '23514' });
    expect(await record()).toMatchObject({ expired: true });
    expect((await run()).replayed).toBe(false);
    expect(await record()).toMatchObject({ state: 'completed', expired: false });
  });
});

test('of twenty concurrent inserts one writes the object, and the others write nothing', async () => {
  for (let round = 0; round < 50; round++) {
    key = randomUUID();
    const inserts = Array.from({ length: 20 }, () =>
      insertOrFindRecord(db, request(), OPTIONS.leaseMs, insertThing()),
    );
    const found = await Promise.all(inserts);
    expect(found.filter((one) => one?.claim)).toHaveLength(1);
    expect(await written()).toEqual(PENDING);
  }
});

test('twenty concurrent requests get the answer of the one that writes the object', async () => {
  const results = await Promise.all(Array.from({ length: 20 }, () => run(insertThing(), 60_000)));
  expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1);
  expect(await written()).toEqual(SETTLED);
});
