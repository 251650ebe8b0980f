import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { QueryFailedError } from 'typeorm';
import { listNeedingAttention, returnToSweep } from '../../../src/idempotency/attention.js';
import { DONE } from './engine.support.js';
import { MAX_FAILURES, OPEN, SteeredEngine, type Beats } from './steered-engine.support.js';

/** Which attempts of the sweep count as failures, and what follows the last allowed failure. */
const steered = new SteeredEngine();
const { ask, beats, letTimePass, record, startWatch, sweep } = steered;
beforeAll(() => steered.open());
beforeEach(() => steered.reset());
afterAll(() => steered.close());

const fault = async (): Promise<never> => {
  throw new TypeError('a fault of ours');
};

async function sweepUntilItStops(): Promise<number> {
  for (let attempts = 0; attempts < 10; attempts++) if ((await sweep()) === 0) return attempts;
  throw new Error('the sweep does not stop');
}

test.each<{ fails: string; by: () => void }>([
  { fails: 'load', by: () => (beats.load = fault) },
  { fails: 'perform', by: () => (beats.perform = fault) },
  { fails: 'settle', by: () => (beats.settle = fault) },
  {
    fails: 'settle, with an answer that is not final',
    by: () => (beats.settle = async () => ({ ...DONE, status: 500 })),
  },
])(
  'a record whose $fails fails each time is repeated until it needs attention, and no longer',
  async ({ by }) => {
    by();
    await ask();
    expect(await record()).toMatchObject({ free: true, needs_attention: false, failures: 0 });
    for (let attempt = 1; attempt <= MAX_FAILURES; attempt++) {
      expect(await record()).toMatchObject({ needs_attention: false });
      await sweep();
      expect(await record()).toMatchObject({ failures: attempt, attempts: attempt + 1 });
    }
    expect(await record()).toMatchObject({ needs_attention: true, state: 'in_progress' });
    const before = steered.performed;
    await sweepUntilItStops();
    expect(steered.performed).toBe(before);
  },
);

test('the pause grows with each attempt', async () => {
  beats.settle = fault;
  for (const [attempt, leastSeconds] of [
    [ask, 0.75],
    [sweep, 1.5],
    [sweep, 3],
  ] as const) {
    const pause = await startWatch();
    await attempt();
    expect(await pause()).toBeGreaterThanOrEqual(leastSeconds);
  }
});

test('an attempt whose process dies counts, and another follows after a pause', async () => {
  const dies = () => new Promise<never>(() => {});
  beats.perform = dies;
  void ask();
  const beginAttempt = async () => {
    await letTimePass();
    const due = (await steered.completer.listRecoverable(100)).find(
      (each) => each.key === steered.key,
    );
    if (!due) return false;
    const before = steered.performed;
    void steered.completer.resume(due);
    while (steered.performed === before) await new Promise(setImmediate);
    return true;
  };
  while (steered.performed === 0) await new Promise(setImmediate);
  for (let death = 1; death <= MAX_FAILURES; death++) {
    const pause = await startWatch();
    expect(await beginAttempt()).toBe(true);
    expect(await record()).toMatchObject({ failures: death, needs_attention: false }); // it may still settle
    expect(await pause()).toBeGreaterThanOrEqual(10.75); // the lease, then the backoff
  }
  expect(await beginAttempt()).toBe(false);
  expect(await record()).toMatchObject({ needs_attention: true, abandoned: true });
  expect(await listNeedingAttention(steered.db)).toContainEqual(
    expect.objectContaining({ resource_id: `th_${steered.key}`, died: true }),
  );
});

const passing = async (): Promise<never> => {
  throw new QueryFailedError('UPDATE', [], Object.assign(new Error(), { code: '55P03' }));
};

describe('a failure that is not an error of ours', () => {
  test.each([
    { what: 'an open outcome', happens: () => (beats.perform = async () => OPEN) },
    { what: 'a lock that is not granted in time', happens: () => (beats.settle = passing) },
  ])('$what neither counts nor ends the count', async ({ happens }) => {
    beats.settle = fault;
    await ask();
    await sweep();
    happens();
    for (let i = 0; i < MAX_FAILURES + 2; i++) expect(await sweep()).toBe(1);
    expect(await record()).toMatchObject({ failures: 1, needs_attention: false, free: true });
    beats.perform = async () => ({ ended: true, outcome: 'outcome' });
    beats.settle = fault;
    expect(await sweepUntilItStops()).toBe(MAX_FAILURES - 1);
    expect(await record()).toMatchObject({ needs_attention: true });
  });
});

describe('an attempt of the sweep whose lease runs out', () => {
  /**
   * A client's retry takes the record over and ends without an outcome, before the sweep's attempt does what `rest`
   * says.
   */
  async function overtaken(rest: Partial<Beats>): Promise<void> {
    const before = { ...beats };
    beats.load = async (...args) => {
      Object.assign(beats, before);
      await letTimePass();
      await ask();
      Object.assign(beats, rest);
      return beats.load(...args);
    };
    await sweep();
    Object.assign(beats, before);
  }

  test.each<{ how: string; rest: Partial<Beats> }>([
    { how: 'ends without an outcome', rest: {} },
    {
      how: 'brings an outcome',
      rest: { perform: async () => ({ ended: true, outcome: 'outcome' }) },
    },
    { how: 'does not get a lock in time', rest: { load: passing } },
  ])('is not a failure of ours if it $how', async ({ rest }) => {
    beats.perform = async () => OPEN;
    await ask();
    for (let i = 0; i < MAX_FAILURES + 2; i++) {
      const { attempts } = await record();
      await overtaken(rest);
      expect(await record()).toMatchObject({
        ...{ attempts: attempts + 2, failures: 0 },
        ...{ needs_attention: false, state: 'in_progress' },
      });
    }
  });

  test('counts if it fails by an error of ours', async () => {
    beats.perform = async () => OPEN;
    await ask();
    await overtaken({ load: fault });
    expect(await record()).toMatchObject({ failures: 1 });
  });
});

describe('a record that needs attention', () => {
  beforeEach(async () => {
    beats.settle = fault;
    await ask();
    await sweepUntilItStops();
    expect(await record()).toMatchObject({ needs_attention: true });
  });

  test('is attempted once by each client retry, and never by the sweep', async () => {
    const before = steered.performed;
    for (let i = 0; i < 2; i++) expect(await ask()).toBe('a fault of ours');
    expect(steered.performed).toBe(before + 2);
    expect(await record()).toMatchObject({ needs_attention: true, failures: MAX_FAILURES });
    expect(await sweep()).toBe(0);
  });

  test('is finished by a retry of its client when the error is fixed', async () => {
    beats.settle = async () => DONE;
    expect(await ask()).toBe('done');
    expect(await record()).toMatchObject({ state: 'completed', needs_attention: false });
  });

  test('is repeated with a new count by an operator’s command, once for two commands', async () => {
    const [needing] = (await listNeedingAttention(steered.db)).filter(
      ({ resource_id }) => resource_id === `th_${steered.key}`,
    );
    const both = [returnToSweep(steered.db, needing!), returnToSweep(steered.db, needing!)];
    expect((await Promise.all(both)).sort()).toEqual([false, true]);
    expect(await sweepUntilItStops()).toBe(MAX_FAILURES);
    expect(await record()).toMatchObject({ needs_attention: true });
    await returnToSweep(steered.db, needing!);
    beats.settle = async () => DONE;
    expect(await sweep()).toBe(1);
    expect(await ask()).toBe('done');
  });
});

test('a client that retries does not use up the attempts of the sweep', async () => {
  beats.settle = fault;
  for (let i = 0; i < MAX_FAILURES + 2; i++) expect(await ask()).toBe('a fault of ours');
  expect(await record()).toMatchObject({ failures: 0, needs_attention: false });
  expect(await sweepUntilItStops()).toBe(MAX_FAILURES);
});
