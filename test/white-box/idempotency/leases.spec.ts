import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { SETTLE_MS } from '../../../src/idempotency/engine-options.js';
import type { TransactionPlan } from '../../../src/idempotency/operation.js';
import { LEASE_MS, OPEN, SteeredEngine } from './steered-engine.support.js';

/** How long an attempt may call outside, and how it gets more time. */
const steered = new SteeredEngine();
const { ask, beats, letTimePass, record, startWatch } = steered;
beforeAll(() => steered.open());
beforeEach(() => steered.reset());
afterAll(() => steered.close());

test('an attempt may call outside until 2 s before its lease ends, including the time of its reserve', async () => {
  const begun = performance.now();
  let [reserved, end] = [NaN, NaN];
  beats.perform = async (_work, _intent, leftMs) => {
    end = performance.now() + leftMs;
    return { ended: true, outcome: 'outcome' };
  };
  await ask({
    reserve: async (tx) => {
      await tx.query('SELECT pg_sleep(0.1)'); // as if a lock was granted late
      reserved = performance.now();
      return { work: 'work' };
    },
  });
  const forCalls = LEASE_MS - SETTLE_MS;
  expect(end).toBeGreaterThan(begun + forCalls - 1); // whole milliseconds
  expect(end).toBeLessThan(reserved + forCalls);
});

describe('when half of the time for calls has passed before they start', () => {
  const CALLS_MS = 1_000;
  const late: TransactionPlan = {
    reserve: async (tx) => {
      await tx.query('SELECT pg_sleep($1)', [(CALLS_MS * 0.6) / 1000]); // as if a lock was granted late
      return { work: undefined };
    },
  };
  let leftMs: number;
  beforeEach(() => {
    leftMs = NaN;
    const { perform } = beats;
    beats.perform = (work, intent, left, extendLease) => {
      leftMs = left;
      return perform(work, intent, left, extendLease);
    };
  });

  test('the lease starts again', async () => {
    expect(await ask(late, steered.start(SETTLE_MS + CALLS_MS).engine)).toBe('done');
    expect(leftMs).toBeGreaterThan(CALLS_MS * 0.4);
    expect((await record()).attempts).toBe(1);
  });

  test('no call is made if another holder has taken over', async () => {
    beats.perform = async () => OPEN;
    await ask();
    const { load } = beats;
    beats.load = async () => {
      beats.load = load;
      await letTimePass();
      expect(await ask()).toBe('no outcome yet');
      await steered.db.query('SELECT pg_sleep($1)', [(CALLS_MS * 0.6) / 1000]);
      return 'work';
    };
    const before = steered.performed;
    await letTimePass();
    await steered.start(SETTLE_MS + CALLS_MS).completer.resume(await record());
    expect(steered.performed).toBe(before + 1); // by the other holder
    expect(await record()).toMatchObject({ attempts: 3, failures: 0 });
  });
});

describe('an attempt that extends its lease', () => {
  test('has a whole lease again, and is not taken over', async () => {
    const { perform } = beats;
    beats.perform = async (_work, _intent, _leftMs, extendLease) => {
      beats.perform = perform;
      await letTimePass();
      expect(await extendLease()).toBeGreaterThan((LEASE_MS - SETTLE_MS) / 2);
      expect(await record()).toMatchObject({ free: false, attempts: 1 });
      expect(await steered.completer.listRecoverable(100)).not.toContainEqual(
        expect.objectContaining({ key: steered.key }),
      );
      return { ended: true, outcome: 'outcome' };
    };
    expect(await ask()).toBe('done');
    expect(steered.performed).toBe(1);
  });

  test('is repeated a pause after that lease if its process dies', async () => {
    beats.perform = async () => OPEN;
    await ask();
    let extended = false;
    beats.perform = async (_work, _intent, _leftMs, extendLease) => {
      await letTimePass();
      await extendLease();
      extended = true;
      return new Promise<never>(() => {});
    };
    const pause = await startWatch();
    await letTimePass();
    void steered.completer.resume(await record());
    while (!extended) await new Promise(setImmediate);
    expect(await pause()).toBeGreaterThanOrEqual(LEASE_MS / 1000 + 0.75);
  });

  test('learns that another holder has taken over, and leaves that lease unchanged', async () => {
    let leftMs: number | undefined = NaN;
    beats.perform = async (_work, _intent, _leftMs, extendLease) => {
      beats.perform = async () => OPEN;
      await letTimePass();
      expect(await ask()).toBe('no outcome yet');
      leftMs = await extendLease();
      expect(await record()).toMatchObject({ free: true, attempts: 2 });
      beats.perform = async () => ({ ended: true, outcome: 'outcome' });
      return OPEN;
    };
    expect(await ask()).toBe('done'); // continues as a duplicate
    expect(leftMs).toBeUndefined();
    expect((await record()).attempts).toBe(3);
  });
});
