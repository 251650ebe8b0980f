import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { QueryFailedError } from 'typeorm';
import { listNeedingAttention, returnToSweep } from '../../../src/idempotency/attention.js';
import { SETTLE_MS } from '../../../src/idempotency/engine-options.js';
import type { Database, Tx } from '../../../src/idempotency/database.js';
import type { Completer } from '../../../src/idempotency/completer.js';
import type { IdempotencyEngine } from '../../../src/idempotency/engine.js';
import type {
  Answer,
  Intent,
  OutsideCall,
  TransactionPlan,
} from '../../../src/idempotency/operation.js';
import type { KeyedRequest } from '../../../src/idempotency/record.entity.js';
import { findRecord } from '../../../src/idempotency/records.js';
import { engineAlone } from './engine.support.js';

/** The engine alone, without a loop: a test decides when the sweep runs and what each beat does. */
const ACCOUNT = 'acct_recovery';
const MAX_FAILURES = 3;
const LEASE_MS = 10_000;
let alone: Awaited<ReturnType<typeof engineAlone>>;
let db: Database;
let engine: IdempotencyEngine;
let completer: Completer;
let key: string;
let performed: number;
let beats: Pick<OutsideCall<string, string>, 'load' | 'perform'> & {
  settle: (tx: Tx, work: string, outcome: string, intent: Intent) => Promise<Answer>;
};

const DONE: Answer = { status: 201, headers: {}, body: 'done' };
const OPEN = { ended: false, inDoubt: true, error: () => new Error('no outcome yet') } as const;
const fault = async (): Promise<never> => {
  throw new TypeError('a fault of ours');
};

beforeAll(async () => {
  alone = await engineAlone({
    name: 'POST /things',
    idPrefix: 'th',
    find: async () => undefined,
    outside: {
      load: (...args) => beats.load(...args),
      perform: (work, ...rest) => {
        performed += 1;
        return beats.perform(work as string, ...rest);
      },
      settle: (work, outcome, intent) => ({
        settle: (tx) => beats.settle(tx, work as string, outcome as string, intent),
      }),
    },
  });
  ({ db } = alone);
  ({ engine, completer } = startEngine(LEASE_MS));
});
const startEngine = (leaseMs: number) =>
  alone.start({
    waitMs: 1_000,
    ttlSeconds: 60,
    leaseMs,
    reapIntervalMs: 1_000,
    maxFailures: MAX_FAILURES,
  });
beforeEach(() => {
  key = randomUUID();
  performed = 0;
  beats = {
    load: async () => 'work',
    perform: async () => ({ ended: true, outcome: 'outcome' }),
    settle: async () => DONE,
  };
});
afterAll(() => alone.close());

/** One request of a client. */
async function ask(
  plan: TransactionPlan = { reserve: async () => ({ work: undefined }) },
  by = engine,
): Promise<string> {
  const request: KeyedRequest = {
    accountId: ACCOUNT,
    key,
    operation: 'POST /things',
    id: `th_${key}`,
    fingerprint: Buffer.from(key),
    members: {},
    requestId: `req_${randomUUID()}`,
  };
  return by.run(request, plan).then(
    ({ answer }) => answer.body,
    (error: Error) => error.message,
  );
}

const record = async () => (await findRecord(db, ACCOUNT, key))!;
/** Moves all pauses and leases into the past. */
const letTimePass = () =>
  db.query(
    `UPDATE idempotency_records SET next_attempt_at = next_attempt_at - interval '1 hour',
       lease_expires_at = lease_expires_at - interval '1 hour' WHERE key = $1`,
    [key],
  );
/** When the sweep's next attempt may start, in seconds from this call, by the database's clock. */
async function startWatch() {
  const [start] = await db.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  return async () => {
    const [row] = await db.query<{ pause: number }>(
      `SELECT EXTRACT(EPOCH FROM next_attempt_at - $2)::float8 AS pause
       FROM idempotency_records WHERE key = $1`,
      [key, start!.now],
    );
    return row!.pause;
  };
}

/** Runs the sweep with everything due. @returns how many attempts it made. */
async function sweep(): Promise<number> {
  await letTimePass();
  const before = performed;
  for (const due of await completer.listRecoverable(100)) {
    if (due.key === key) await completer.resume(due).catch(() => undefined);
  }
  return performed - before;
}
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
    const before = performed;
    await sweepUntilItStops();
    expect(performed).toBe(before);
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
    const due = (await completer.listRecoverable(100)).find((each) => each.key === key);
    if (!due) return false;
    const before = performed;
    void completer.resume(due);
    while (performed === before) await new Promise(setImmediate);
    return true;
  };
  while (performed === 0) await new Promise(setImmediate);
  for (let death = 1; death <= MAX_FAILURES; death++) {
    const pause = await startWatch();
    expect(await beginAttempt()).toBe(true);
    expect(await record()).toMatchObject({ failures: death, needs_attention: false }); // it may still settle
    expect(await pause()).toBeGreaterThanOrEqual(10.75); // the lease, then the backoff
  }
  expect(await beginAttempt()).toBe(false);
  expect(await record()).toMatchObject({ needs_attention: true, abandoned: true });
  expect(await listNeedingAttention(db)).toContainEqual(
    expect.objectContaining({ resource_id: `th_${key}`, died: true }),
  );
});

const passing = async (): Promise<never> => {
  throw new QueryFailedError('UPDATE', [], Object.assign(new Error(), { code: '55P03' }));
};

describe('a failure that is no error of ours', () => {
  test.each([
    { what: 'an open outcome', happens: () => (beats.perform = async () => OPEN) },
    { what: 'a lock that is not had in time', happens: () => (beats.settle = passing) },
  ])('$what neither counts nor ends the count', async ({ happens }) => {
    const { settle } = beats;
    beats.settle = fault;
    await ask();
    await sweep();
    happens();
    for (let i = 0; i < MAX_FAILURES + 2; i++) expect(await sweep()).toBe(1);
    expect(await record()).toMatchObject({ failures: 1, needs_attention: false, free: true });
    beats = { ...beats, perform: async () => ({ ended: true, outcome: 'outcome' }), settle: fault };
    expect(await sweepUntilItStops()).toBe(MAX_FAILURES - 1);
    expect(await record()).toMatchObject({ needs_attention: true });
    beats.settle = settle;
  });
});

describe('an attempt of the sweep whose lease runs out', () => {
  /**
   * A client's retry takes the record over and ends without an outcome, before the sweep's attempt does what `rest`
   * says.
   */
  async function overtaken(rest: Partial<typeof beats>): Promise<void> {
    const open = beats;
    const load: typeof beats.load = async (...args) => {
      beats = open;
      await letTimePass();
      await ask();
      beats = { ...open, ...rest };
      return beats.load(...args);
    };
    beats = { ...open, load };
    await sweep();
    beats = open;
  }

  test.each<{ how: string; rest: Partial<typeof beats> }>([
    { how: 'ends open', rest: {} },
    {
      how: 'brings an outcome',
      rest: { perform: async () => ({ ended: true, outcome: 'outcome' }) },
    },
    { how: 'loses the database', rest: { load: passing } },
  ])('is no failure of ours if it $how', async ({ rest }) => {
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
    expect(await ask(late, startEngine(SETTLE_MS + CALLS_MS).engine)).toBe('done');
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
      await db.query('SELECT pg_sleep($1)', [(CALLS_MS * 0.6) / 1000]);
      return 'work';
    };
    const before = performed;
    await letTimePass();
    await startEngine(SETTLE_MS + CALLS_MS).completer.resume(await record());
    expect(performed).toBe(before + 1); // by the other holder
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
      expect(await completer.listRecoverable(100)).not.toContainEqual(
        expect.objectContaining({ key }),
      );
      return { ended: true, outcome: 'outcome' };
    };
    expect(await ask()).toBe('done');
    expect(performed).toBe(1);
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
    void completer.resume(await record());
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

describe('a record that needs attention', () => {
  beforeEach(async () => {
    beats.settle = fault;
    await ask();
    await sweepUntilItStops();
    expect(await record()).toMatchObject({ needs_attention: true });
  });

  test('gets one attempt by each retry of its client, and none by the sweep', async () => {
    const before = performed;
    for (let i = 0; i < 2; i++) expect(await ask()).toBe('a fault of ours');
    expect(performed).toBe(before + 2);
    expect(await record()).toMatchObject({ needs_attention: true, failures: MAX_FAILURES });
    expect(await sweep()).toBe(0);
  });

  test('is finished by a retry of its client when the error is fixed', async () => {
    beats.settle = async () => DONE;
    expect(await ask()).toBe('done');
    expect(await record()).toMatchObject({ state: 'completed', needs_attention: false });
  });

  test('is repeated with a new count by an operator’s command, once for two commands', async () => {
    const [needing] = (await listNeedingAttention(db)).filter(
      ({ resource_id }) => resource_id === `th_${key}`,
    );
    const both = [returnToSweep(db, needing!), returnToSweep(db, needing!)];
    expect((await Promise.all(both)).sort()).toEqual([false, true]);
    expect(await sweepUntilItStops()).toBe(MAX_FAILURES);
    expect(await record()).toMatchObject({ needs_attention: true });
    await returnToSweep(db, needing!);
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

test('a first beat whose answer is not final leaves the key unused', async () => {
  const refused = { reserve: async () => ({ answer: { ...DONE, status: 402 } }) };
  expect(await ask(refused)).toBe('POST /things answers 402, which is not final');
  expect(await findRecord(db, ACCOUNT, key)).toBeUndefined();
  expect(await ask()).toBe('done');
});
