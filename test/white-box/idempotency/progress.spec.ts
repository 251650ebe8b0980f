import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { requireFinal } from '../../../src/idempotency/engine-options.js';
import {
  DatabaseUnavailable,
  IdempotencyKeyExpired,
  IdempotencyKeyReused,
  IdempotencyRequestInProgress,
  OutcomeUnknown,
} from '../../../src/idempotency/errors.js';
import { Progress } from '../../../src/idempotency/progress.js';
import type {
  Claim,
  IdempotencyRecord,
  KeyedRequest,
} from '../../../src/idempotency/record.entity.js';

// The state of one request between its steps, with a clock that the test sets.

const realNow = performance.now.bind(performance);
let now: number;
let pauses: number[];
beforeEach(() => {
  [now, pauses] = [5_000, []];
  performance.now = () => now;
});
afterEach(() => {
  performance.now = realNow;
});

const request = { requestId: 'req_1' } as KeyedRequest;
const claim = (epoch: number) => ({ epoch }) as Claim;
const record = (epoch: number, request_id: string) => ({ epoch, request_id }) as IdempotencyRecord;
const coded = (code: string) => Object.assign(new Error(code), { code });
const LOST = coded('08006');
const NEVER_SENT = coded('ECONNREFUSED');

function progress(more: Partial<Progress> = {}, waitMs = 1_000): Progress {
  const made = new Progress(request, now + waitMs, async (ms) => void pauses.push(ms));
  return Object.assign(made, more);
}

it('a request begins with nothing sent', () => {
  expect(progress()).toMatchObject({ begun: false, sent: false, claim: undefined });
});

describe('a record', () => {
  it('belongs to a request with a claim if both have the same epoch', () => {
    const of = progress({ claim: claim(2) });
    expect(of.owns(record(2, 'req_2'))).toBe(true);
    expect([of.owns(record(3, 'req_1')), of.owns(record(1, 'req_1'))]).toEqual([false, false]);
  });

  it('belongs to a request without a claim if that request wrote it and no process took it over', () => {
    expect(progress().owns(record(1, 'req_1'))).toBe(true);
    expect(progress().owns(record(1, 'req_2'))).toBe(false);
    expect(progress().owns(record(2, 'req_1'))).toBe(false);
  });
});

describe('waiting for the holder', () => {
  it('takes pauses that grow from 20 ms to 250 ms, a quarter more or less', async () => {
    const factors: number[] = [];
    const grown = [20, 30, 45, 67.5, 101.25, 151.875, 227.8125, 250, 250];
    for (let request = 0; request < 100; request++) {
      const of = progress();
      for (const ms of grown) {
        await of.waitForHolder(false);
        factors.push(pauses.at(-1)! / ms);
      }
    }
    const [least, most] = [Math.min(...factors), Math.max(...factors)];
    expect([least >= 0.75, least < 0.8, most > 1.2, most <= 1.25]).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  it('pauses no longer than is left', async () => {
    const of = progress({}, 7);
    await of.waitForHolder(false);
    expect(pauses).toEqual([7]);
  });

  it('ends when no time is left, or when the process drains', async () => {
    const ended = progress({}, 0).waitForHolder(false);
    await expect(ended).rejects.toBeInstanceOf(IdempotencyRequestInProgress);
    const draining = progress().waitForHolder(true);
    await expect(draining).rejects.toBeInstanceOf(IdempotencyRequestInProgress);
    expect(pauses).toEqual([]);
  });

  it('takes real time by default', async () => {
    performance.now = realNow;
    const began = performance.now();
    await new Progress(request, began + 1_000).waitForHolder(false);
    expect(performance.now() - began).toBeGreaterThan(10);
  });
});

describe('an unreachable database', () => {
  const lose = async (of: Progress, error: Error) => {
    const waited = of.waitOutLoss(error);
    return waited.then(
      () => 'waited',
      (thrown: Error) => thrown,
    );
  };

  it('is waited for, up to two seconds from the first loss', async () => {
    const of = progress();
    expect(await lose(of, LOST)).toBe('waited');
    now += 2_000;
    expect(await lose(of, LOST)).toBe('waited');
    now += 1;
    expect(await lose(of, LOST)).toMatchObject({ code: 'database_unavailable', cause: LOST });
  });

  it('is waited for again, up to two seconds, after it came back', async () => {
    const of = progress();
    await lose(of, LOST);
    now += 1_500;
    of.databaseIsBack();
    now += 1_500;
    expect(await lose(of, LOST)).toBe('waited');
    now += 1_500;
    expect(await lose(of, LOST)).toBe('waited');
  });

  it('is tried again after a pause, not immediately', async () => {
    performance.now = realNow;
    const began = performance.now();
    await lose(progress(), LOST);
    expect(performance.now() - began).toBeGreaterThan(95);
  });

  it('may come back five times', async () => {
    const of = progress();
    for (let loss = 0; loss < 5; loss++) {
      await lose(of, LOST);
      of.databaseIsBack();
      of.databaseIsBack(); // without a loss, it counts nothing
    }
    await lose(of, LOST);
    expect(() => of.databaseIsBack()).toThrow(DatabaseUnavailable);
  });

  it.each(['40001', '57014'])(
    'that rolled back (%s) is reported immediately if there is no claim',
    async (code) => {
      expect(await lose(progress(), coded(code))).toBeInstanceOf(DatabaseUnavailable);
      expect(await lose(progress({ claim: claim(1) }), coded(code))).toBe('waited');
    },
  );

  it('is also waited for while it is read-only', async () => {
    expect(await lose(progress(), coded('25006'))).toBe('waited');
  });

  it.each([
    ['nothing was sent', { sent: false }, LOST, DatabaseUnavailable],
    ['the reserve was sent', { sent: true }, LOST, OutcomeUnknown],
    ['no connection was made', { sent: true }, NEVER_SENT, DatabaseUnavailable],
    ['PostgreSQL refused the statement', { sent: true }, coded('23505'), DatabaseUnavailable],
    ['the request has a claim', { claim: claim(1) }, NEVER_SENT, OutcomeUnknown],
  ])('has an outcome by what was sent: %s', async (_, state, error, expected) => {
    const of = progress(state);
    of.reserveFailed(error);
    await lose(of, LOST);
    now += 2_001;
    const reported = await lose(of, LOST);
    expect(reported).toBeInstanceOf(expected);
    expect(reported).toMatchObject({ cause: LOST });
  });
});

it('a hundred races may be lost, and no more', () => {
  const of = progress();
  const cause = new Error('raced');
  for (let race = 0; race < 100; race++) of.raced(cause);
  expect(() => of.raced(cause)).toThrow(expect.objectContaining({ cause }));
  expect(() => of.raced(cause)).toThrow('the reserve loses every race, but no object has its id');
});

describe('the outcome for the key', () => {
  it('follows from an answer', async () => {
    const outcome = (more: Partial<Progress>, replayed: boolean) =>
      progress(more).keyOutcome({ replayed });
    expect(outcome({}, true)).toBe('replayed');
    expect(outcome({}, false)).toBe('executed');
    expect(outcome({ claim: claim(1) }, false)).toBe('executed');
    expect(outcome({ claim: claim(2) }, false)).toBe('recovered');
    const waiting = progress();
    await waiting.waitForHolder(false);
    expect(waiting.keyOutcome({ replayed: true })).toBe('waited');
  });

  it('follows from an error', () => {
    const of = (error: Error) => progress().keyOutcomeOfError(error);
    const resource = { object: 'charge', id: 'ch_1', url: '/', failed: false };
    expect(of(new IdempotencyRequestInProgress())).toBe('in_progress');
    expect(of(new IdempotencyKeyReused('elsewhere', []))).toBe('reused');
    expect(of(new IdempotencyKeyExpired(resource))).toBe('expired');
    expect(of(new Error('invalid'))).toBeUndefined();
    expect(progress({ claim: claim(1) }).keyOutcomeOfError(LOST)).toBe('pending');
  });
});

describe('a status that may be stored', () => {
  const options = { waitMs: 0, ttlSeconds: 0, leaseMs: 0, reapIntervalMs: 0 };
  const store = (status: number, more = {}) => {
    const answer = { status, headers: {}, body: '' };
    requireFinal(answer, 'POST /things', { ...options, ...more });
  };

  it('is 2xx by default', () => {
    for (const status of [200, 201, 299]) expect(() => store(status)).not.toThrow();
    for (const status of [199, 300, 402])
      expect(() => store(status)).toThrow(`POST /things answers ${status}, which is not final`);
  });

  it('is what the options say', () => {
    const isFinal = (status: number) => status === 402;
    expect(() => store(402, { isFinal })).not.toThrow();
    expect(() => store(201, { isFinal })).toThrow('not final');
  });
});
