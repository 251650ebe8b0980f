import { describe, expect, it } from '@jest/globals';
import {
  QueryFailedError,
  QueryRunnerAlreadyReleasedError,
  QueryRunnerProviderAlreadyReleasedError,
} from 'typeorm';
import {
  DatabaseUnavailable,
  IdempotencyKeyExpired,
  IdempotencyKeyInvalid,
  IdempotencyKeyMissing,
  IdempotencyKeyReused,
  IdempotencyKeyUnknown,
  IdempotencyMisconfigured,
  IdempotencyRequestInProgress,
  isConnectionLost,
  isReadOnly,
  isRolledBack,
  isTransient,
  isUniqueViolation,
  NoConnection,
  OutcomeUnknown,
  wasSent,
} from '../../../src/idempotency/errors.js';

// What each error of the driver means for a request: PostgreSQL's appendix A, and the messages of `pg`.

const coded = (code: string, more: object = {}) =>
  Object.assign(new Error('failed'), { code, ...more });
const saying = (message: string) => new Error(message);
const wrapped = (error: Error) => new QueryFailedError('SELECT 1', [], error);

const MADE = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', '28000', '28P01', '3D000'];
const REFUSED = [...MADE, '53300', '57P03'];
const LOST = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT', '08000', '08006', '08P01', '57P01', '57P02'];
const ENDED = [...LOST, '57P04', '57P05', '25P03', '25P04'];
const LOST_MESSAGES = [
  'Connection terminated unexpectedly',
  'Client has encountered a connection error and is not queryable',
  'Connection ended',
  'Query read timeout',
  'Driver not Connected',
  'Client was closed and is not queryable',
];
const ROLLED_BACK = ['57014', '55P03', '40P01', '40001', '25006', '26000', '53100', '53200'];
const OWN_FAULTS = ['23505', '42P01', '22P02', '23514', 'P0001', '57P06', '25P02', '25P05'];
/** Codes that contain a code from above. */
const SIMILAR = ['X08006', '08006X', '1253100', '531000', '57014X', 'X57014', 'XECONNREFUSED'];

const causes = (codes: string[]) => codes.flatMap((code) => [coded(code), wrapped(coded(code))]);

describe('a lost connection', () => {
  it.each([...REFUSED, ...ENDED])('is %s, from the driver or from TypeORM', (code) => {
    for (const error of causes([code]))
      expect([isConnectionLost(error), isTransient(error)]).toEqual([true, true]);
  });

  it.each([...LOST_MESSAGES, 'timeout exceeded when trying to connect'])('is "%s"', (message) => {
    expect(isConnectionLost(saying(message))).toBe(true);
    expect(isConnectionLost(saying(`The ${message}.`))).toBe(true);
  });

  it("is TypeORM's refusal of a statement after the connection ended", () => {
    expect(isConnectionLost(new QueryRunnerAlreadyReleasedError())).toBe(true);
    expect(isConnectionLost(new QueryRunnerProviderAlreadyReleasedError())).toBe(true);
  });

  it('is a connection that could not be made, whatever its code', () => {
    expect(isConnectionLost(new NoConnection(coded('42P01')))).toBe(true);
  });

  it('is the failure of one of several addresses', () => {
    const one = new AggregateError([coded('42P01'), coded('ECONNREFUSED')]);
    expect(isConnectionLost(one)).toBe(true);
    expect(isConnectionLost(new AggregateError([coded('42P01')]))).toBe(false);
  });

  it.each([...OWN_FAULTS, ...SIMILAR])('is not %s', (code) => {
    expect(isConnectionLost(coded(code))).toBe(false);
    expect(isTransient(coded(code))).toBe(false);
  });

  it('is not a message with a code of another kind, or a value that is not an Error', () => {
    const other = Object.assign(saying('Connection terminated'), { code: '42P01' });
    for (const each of [other, saying('a division by zero'), 'Connection terminated', undefined])
      expect(isConnectionLost(each)).toBe(false);
    expect(isConnectionLost({ code: '08006' })).toBe(false);
  });
});

describe('a statement', () => {
  it.each(REFUSED)('was not sent if its connection was refused with %s', (code) => {
    expect(causes([code]).map(wasSent)).toEqual([false, false]);
  });

  it('was not sent if no connection was free or could be made', () => {
    expect(wasSent(saying('timeout exceeded when trying to connect'))).toBe(false);
    expect(wasSent(new NoConnection(coded('ECONNRESET')))).toBe(false);
    expect(wasSent(new AggregateError([coded('ECONNREFUSED')]))).toBe(false);
    expect(wasSent('no error')).toBe(false);
  });

  it.each(ENDED)('may have been sent before %s', (code) => {
    expect(causes([code]).map(wasSent)).toEqual([true, true]);
  });

  it('may have been sent after any other error', () => {
    for (const message of LOST_MESSAGES) expect(wasSent(saying(message))).toBe(true);
    const one = new AggregateError([coded('ECONNREFUSED'), coded('ECONNRESET')]);
    expect(wasSent(one)).toBe(true);
    for (const code of SIMILAR) expect(wasSent(coded(code))).toBe(true);
    for (const code of ['XECONNREFUSED', 'ECONNREFUSEDX', '128000', '280000', '57P033'])
      expect(wasSent(coded(code))).toBe(true);
  });
});

describe('a rollback by PostgreSQL', () => {
  it.each(ROLLED_BACK)('is %s, from the driver or from TypeORM', (code) => {
    for (const error of causes([code]))
      expect([isRolledBack(error), isTransient(error)]).toEqual([true, true]);
  });

  it('is a prepared statement that a migration made stale', () => {
    expect(isRolledBack(coded('0A000', { routine: 'RevalidateCachedQuery' }))).toBe(true);
    expect(isRolledBack(coded('0A000', { routine: 'transformStmt' }))).toBe(false);
  });

  it.each([...OWN_FAULTS, ...ENDED, ...SIMILAR, '53300'])('is not %s', (code) => {
    expect(isRolledBack(coded(code))).toBe(false);
  });

  it('is not a value that is not an Error', () => {
    expect(isRolledBack({ code: '57014' })).toBe(false);
    expect(isRolledBack(undefined)).toBe(false);
  });
});

it('a unique violation is 23505, and a read-only session is 25006', () => {
  for (const error of causes(['23505']))
    expect([isUniqueViolation(error), isReadOnly(error)]).toEqual([true, false]);
  for (const error of causes(['25006']))
    expect([isUniqueViolation(error), isReadOnly(error)]).toEqual([false, true]);
  expect([isUniqueViolation(undefined), isReadOnly(undefined)]).toEqual([false, false]);
});

it('a connection that could not be made has the cause, its code and its message', () => {
  const cause = coded('28P01');
  expect(new NoConnection(cause)).toMatchObject({ code: '28P01', message: 'failed', cause });
  expect(new NoConnection({ code: 'ECONNREFUSED', message: '' }).message).toBe('ECONNREFUSED');
  expect(new NoConnection({}).message).toBe('no connection');
});

describe('the problem', () => {
  const again = { 'Retry-After': '1' };
  const link = { object: 'charge', id: 'ch_1', url: '/charges/ch_1' };
  const expired = (failed: boolean) =>
    new IdempotencyKeyExpired(Object.assign({ failed, createdAt: 0 }, link));
  it.each([
    [new IdempotencyKeyMissing(), 400, 'after_fix', {}, {}],
    [new IdempotencyKeyInvalid('why'), 400, 'after_fix', {}, {}],
    [new IdempotencyKeyReused('elsewhere', ['/a']), 422, 'no', {}, { mismatched: ['/a'] }],
    [new IdempotencyRequestInProgress(), 409, 'same_key', again, {}],
    [expired(false), 409, 'no', {}, { resource: link }],
    [expired(true), 409, 'new_key', {}, { resource: link }],
    [new IdempotencyKeyUnknown(), 404, 'after_fix', {}, {}],
    [new DatabaseUnavailable(), 503, 'same_key', again, {}],
    [new OutcomeUnknown(), 503, 'same_key', again, {}],
  ])('%p is %i, %s', (error, status, retry, headers, extensions) => {
    const { code, title, message, ...rest } = error;
    expect(rest).toMatchObject({ status, retry });
    expect([error.headers, error.extensions]).toEqual([headers, extensions]);
    expect(Math.min(code.length, title.length, message.length)).toBeGreaterThan(2);
  });

  it('of an unknown key says what to send', () => {
    expect(new IdempotencyKeyUnknown().message).toMatch(
      /^Nothing with this key has taken effect so far.*same request with the same key, never with a new key\.$/,
    );
  });

  it('names where the key was used, and keeps its cause', () => {
    expect(new IdempotencyKeyReused('for POST /orders', []).message).toMatch(
      /used for POST \/orders/,
    );
    const cause = saying('why');
    expect(new DatabaseUnavailable({ cause })).toMatchObject({ cause });
    expect(new OutcomeUnknown({ cause })).toMatchObject({ cause });
    expect(new IdempotencyMisconfigured('x').name).toBe('IdempotencyMisconfigured');
  });
});
