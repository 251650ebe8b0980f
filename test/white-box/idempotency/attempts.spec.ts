import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Completer } from '../../../src/idempotency/completer.js';
import type { Database } from '../../../src/idempotency/database.js';
import type { IdempotencyEngine } from '../../../src/idempotency/engine.js';
import {
  EngineProbe,
  type Answer,
  type KeyOutcome,
  type Operation,
  type OutsideCall,
  type ProbePoint,
} from '../../../src/idempotency/operation.js';
import { findRecord } from '../../../src/idempotency/records.js';
import { DONE, engineAlone, requestFor } from './engine.support.js';

// What one attempt leaves behind, and the points that it reaches.

const ACCOUNT = 'acct_attempts';
let reached: (ProbePoint | KeyOutcome)[];
let perform: OutsideCall['perform'];
let settle: () => Promise<Answer>;
let key: string;
let alone: Awaited<ReturnType<typeof engineAlone>>;
let db: Database;
let engine: IdempotencyEngine;
let completer: Completer;

const THINGS: Operation = {
  name: 'POST /things',
  idPrefix: 'th',
  find: async () => undefined,
  outside: {
    load: async () => 'work',
    perform: (...args) => perform(...args),
    settle: () => ({ settle }),
  },
};

class Recording extends EngineProbe {
  override reached(point: ProbePoint): void {
    reached.push(point);
  }
  override ended(outcome: KeyOutcome): void {
    reached.push(outcome);
  }
}

beforeAll(async () => {
  alone = await engineAlone(THINGS);
  alone.operations.register({ ...THINGS, name: 'POST /notes', outside: undefined });
  ({ db } = alone);
  const options = { waitMs: 200, ttlSeconds: 60, leaseMs: 10_000, reapIntervalMs: 1_000 };
  ({ engine, completer } = alone.start(options, new Recording()));
});
afterAll(() => alone.close());
beforeEach(() => {
  [key, reached] = [randomUUID(), []];
  perform = async () => ({ ended: true, outcome: 'outcome' });
  settle = async () => DONE;
});

const record = async () => (await findRecord(db, ACCOUNT, key))!;
const ask = (operation = 'POST /things', reserve: object = { work: 'work' }) => {
  const plan = { reserve: async () => reserve as { answer: Answer } };
  return engine.run(requestFor(ACCOUNT, key, operation), plan).then(
    ({ answer }) => answer.body,
    (error: Error) => error.message,
  );
};

const RESERVED = [
  'received',
  'before-reserve',
  'record-written',
  'reserve-written',
  'after-reserve',
];
const CALLED = ['before-perform', 'after-perform'];
const SETTLED = ['settle-written', 'after-settle'];

test('a request reaches its points in order', async () => {
  expect(await ask()).toBe('done');
  expect(reached).toEqual([...RESERVED, ...CALLED, ...SETTLED, 'executed']);
});

test('a replay reaches the reserve, and no other point', async () => {
  await ask();
  reached = [];
  expect(await ask()).toBe('done');
  expect(reached).toEqual(['received', 'before-reserve', 'replayed']);
});

test('an operation with one beat has no outside call', async () => {
  expect(await ask('POST /notes', { answer: DONE })).toBe('done');
  expect(reached).toEqual([...RESERVED, 'executed']);
});

test('an operation with one beat that leaves work is a fault', async () => {
  expect(await ask('POST /notes')).toBe('POST /notes has no outside call');
  expect(reached).toEqual([...RESERVED, 'released', 'pending']);
});

test('a first beat whose answer is not final leaves the key unused', async () => {
  expect(await ask('POST /things', { answer: { ...DONE, status: 402 } })).toBe(
    'POST /things answers 402, which is not final',
  );
  expect(await record()).toBeUndefined();
  expect(await ask()).toBe('done');
});

test('an attempt that fails releases its lease and is in doubt', async () => {
  perform = () => Promise.reject(new Error('a fault of ours'));
  expect(await ask()).toBe('perform failed');
  expect(reached).toEqual([...RESERVED, 'before-perform', 'released', 'pending']);
  expect(await record()).toMatchObject({ free: true, in_doubt: true, attempts: 1 });
});

test.each([true, false])(
  'an attempt without an outcome reports when to try again, and whether it is in doubt: %p',
  async (inDoubt) => {
    const error = (...args: unknown[]) => new Error(JSON.stringify(args));
    perform = async () => ({ ended: false, inDoubt, error });
    expect([`[${inDoubt},1]`, `[${inDoubt},2]`]).toContain(await ask());
    expect(reached).toEqual([...RESERVED, ...CALLED, 'released', 'pending']);
    expect(await record()).toMatchObject({ free: true, in_doubt: inDoubt });
  },
);

test('a request that loses its connection keeps its lease and continues', async () => {
  const held: boolean[] = [];
  perform = async () => {
    held.push(!(await record()).free);
    return { ended: true, outcome: 'outcome' };
  };
  settle = async () => {
    settle = async () => DONE;
    throw Object.assign(new Error('lost'), { code: '08006' });
  };
  expect(await ask()).toBe('done');
  expect(held).toEqual([true, true]);
  expect(reached).toEqual([...RESERVED, ...CALLED, ...CALLED, ...SETTLED, 'executed']);
  expect(await record()).toMatchObject({ state: 'completed', attempts: 1, epoch: 1 });
});

test('an attempt that has lost its claim does not settle', async () => {
  let settled = 0;
  perform = async () => {
    await db.query('UPDATE idempotency_records SET epoch = epoch + 1 WHERE key = $1', [key]);
    return { ended: true, outcome: 'outcome' };
  };
  settle = async () => {
    settled += 1;
    return DONE;
  };
  expect(await ask()).toMatch(/no outcome yet/);
  expect(settled).toBe(0);
  expect(await record()).toMatchObject({ state: 'in_progress', epoch: 2 });
});

test('the sweep completes what a failed request left, and reports it', async () => {
  perform = () => Promise.reject(new Error('a fault of ours'));
  await ask();
  perform = async () => ({ ended: true, outcome: 'outcome' });
  reached = [];
  await completer.resume(await record());
  expect(reached).toEqual([...CALLED, ...SETTLED, 'recovered']);
  expect(await record()).toMatchObject({ state: 'completed', epoch: 2, response_body: 'done' });
});

test('an outcome from another source completes a record once', async () => {
  perform = () => Promise.reject(new Error('a fault of ours'));
  await ask();
  reached = [];
  const outside = { outside: THINGS.outside! };
  const settleIt = () =>
    db.transaction((tx) =>
      completer.settleFromOutside(tx, outside, ACCOUNT, `th_${key}`, 'outcome'),
    );
  expect([await settleIt(), await settleIt()]).toEqual([true, false]);
  expect(reached).toEqual(['recovered']);
});
