import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  deriveId,
  fingerprintOf,
  isDerivedId,
  memberHashes,
  mismatchedMembers,
} from '../../../src/idempotency/identity.js';

const json = fc.jsonValue({ maxDepth: 4 });
const body = fc.dictionary(fc.string(), json, { maxKeys: 8 });
const of = (value: unknown) =>
  fingerprintOf({ params: {}, query: {}, body: value }).toString('hex');

/** The same value with its members in another order at every depth. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).reverse();
  return Object.fromEntries(entries.map(([name, each]) => [name, shuffled(each)]));
}

describe('the derived id', () => {
  it('never changes: changing these lines charges customers twice', () => {
    expect(deriveId('ch', 'acct_1', 'POST /charges', 'key-1')).toBe(
      'ch_2s4nprcajd81sjjcuaeg48bb9m488eqi',
    );
    expect(deriveId('re', 'acct_1', 'POST /charges/{id}/refunds', 'é"\\')).toBe(
      're_asl2gqm42n2qff0k93jmlcorlnriq39v',
    );
  });

  it('is the prefix and 32 characters of base32hex', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (account, operation, key) => {
        expect(deriveId('ch', account, operation, key)).toMatch(/^ch_[0-9a-v]{32}$/);
      }),
    );
  });

  it('differs if account, operation or key differ, even if they concatenate to the same string', () => {
    const three = fc.tuple(fc.string(), fc.string(), fc.string());
    const id = ([account, operation, key]: readonly [string, string, string]) =>
      deriveId('ch', account, operation, key);
    fc.assert(
      fc.property(three, three, (a, b) => {
        expect(id(a) === id(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (a, b) => {
        const cuts = [
          ['', a + b, ''],
          [a, b, ''],
          [a, '', b],
          ['', a, b],
          [a + b, '', ''],
        ] as const;
        expect(new Set(cuts.map(id)).size).toBe(cuts.length);
      }),
    );
    expect(id(['a","b', 'c', 'd'])).not.toBe(id(['a', 'b","c', 'd']));
  });
});

describe('a string', () => {
  const id = deriveId('ch', 'acct_1', 'POST /charges', 'key-1');
  it('has the shape of an id, or cannot name one of our objects', () => {
    expect(isDerivedId('ch', id)).toBe(true);
    expect(isDerivedId('re', id)).toBe(false);
    for (const text of ['', `${id}0`, `x${id}`, id.slice(0, -1), id.toUpperCase(), undefined, [id]])
      expect(isDerivedId('ch', text)).toBe(false);
  });
});

it('only the members that differ are named, in order', () => {
  const stored = { '/b': '1', '/c': '2', '/same': '3' };
  expect(mismatchedMembers(stored, { '/c': '0', '/a': '4', '/same': '3' })).toEqual([
    '/a',
    '/b',
    '/c',
  ]);
});

describe('the fingerprint', () => {
  it('ignores the order of members and white space', () => {
    fc.assert(
      fc.property(body, (value) => {
        expect(of(shuffled(value))).toBe(of(value));
        expect(of(JSON.parse(JSON.stringify(value, null, 3)))).toBe(
          of(JSON.parse(JSON.stringify(value))),
        );
      }),
    );
  });

  it('differs if a member is changed, added or removed', () => {
    fc.assert(
      fc.property(body, fc.string(), json, (value, name, member) => {
        const changed = { ...value, [name]: [member] };
        const same = JSON.stringify(value[name]) === JSON.stringify([member]);
        expect(of(changed) === of(value)).toBe(same && Object.hasOwn(value, name));
        const rest = Object.fromEntries(Object.entries(changed).filter(([each]) => each !== name));
        expect(of(rest)).not.toBe(of(changed));
      }),
    );
  });

  it.each([
    ['the order of an array', { a: [1, 2] }, { a: [2, 1] }],
    ['a number and its text', { a: 1 }, { a: '1' }],
    ['null and nothing', { a: null }, {}],
    ['true and "true"', { a: true }, { a: 'true' }],
    ['an object and an array', { a: {} }, { a: [] }],
    ['composed and decomposed letters', { a: 'é' }, { a: 'e\u0301' }],
    ['where a member is', { a: { b: 1 } }, { a: {}, b: 1 }],
    ['case', { a: 'X' }, { a: 'x' }],
  ])('distinguishes %s', (_what, one, other) => {
    expect(of(one)).not.toBe(of(other));
  });

  it('is the same for every notation of a number', () => {
    for (const text of ['1.0', '1e0', '100e-2', '10.0E-1'])
      expect(of(JSON.parse(`{"a":${text}}`))).toBe(of({ a: 1 }));
    expect(of({ a: -0 })).toBe(of({ a: 0 }));
  });

  it('keeps path, query and body apart', () => {
    const print = (params: object, query: object, all: object) =>
      fingerprintOf({ params, query, body: all }).toString('hex');
    const x = { x: '1' };
    expect(new Set([print(x, {}, {}), print({}, x, {}), print({}, {}, x)]).size).toBe(3);
  });
});

describe('the member hashes', () => {
  it('name exactly the members that differ, never their values', () => {
    fc.assert(
      fc.property(body, body, (before, after) => {
        const reported = mismatchedMembers(
          memberHashes('ch_1', before),
          memberHashes('ch_1', after),
        );
        const differ = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
          (name) =>
            !Object.hasOwn(before, name) ||
            !Object.hasOwn(after, name) ||
            of({ a: before[name] }) !== of({ a: after[name] }),
        );
        const pointers = differ.map(
          (name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
        );
        expect(reported).toEqual(pointers.sort());
      }),
    );
  });

  it('are salted: equal values of two keys or members differ', () => {
    const one = memberHashes('ch_1', { a: 'x', b: 'x' });
    const two = memberHashes('ch_2', { a: 'x', b: 'x' });
    expect(new Set([one['/a'], one['/b'], two['/a'], two['/b']]).size).toBe(4);
  });

  it('escape ~ and / in names, and accept names of Object’s members', () => {
    const hashes = memberHashes('ch_1', { 'a/b~c': 1, constructor: 2, toString: 3 });
    expect(Object.keys(hashes)).toEqual(['/a~1b~0c', '/constructor', '/toString']);
    expect(mismatchedMembers(hashes, memberHashes('ch_1', {}))).toEqual([
      '/a~1b~0c',
      '/constructor',
      '/toString',
    ]);
  });

  it('are empty for a value that is not an object', () => {
    for (const value of [undefined, null, [1], 'x', 1])
      expect(memberHashes('ch_1', value)).toEqual({});
  });
});
