import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { IdempotencyKeyInvalid, IdempotencyKeyMissing } from '../../../src/idempotency/errors.js';
import {
  isPossibleKey,
  parseIdempotencyKey,
  parsePreferWait,
} from '../../../src/idempotency/key-header.js';

const parse = (...lines: string[]) => parseIdempotencyKey(lines);
const quote = (key: string) => `"${key.replaceAll(/["\\]/g, '\\$&')}"`;
const printable = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 255,
});
/** White space at the ends belongs to the header, not to an unquoted key. */
const bare = printable.filter((key) => !/[",]/.test(key) && key.trim() === key);

describe('the Idempotency-Key header', () => {
  it('is the same key, unquoted and quoted', () => {
    fc.assert(
      fc.property(bare, (key) => {
        expect(parse(key)).toBe(key);
        expect(parse(quote(key))).toBe(key);
        expect(parse(` \t${key}\t `)).toBe(key);
      }),
    );
  });

  it('holds any printable ASCII when quoted, with quotes and backslashes escaped', () => {
    fc.assert(
      fc.property(printable, (key) => {
        expect(parse(quote(key))).toBe(key);
        expect(isPossibleKey(key)).toBe(true);
      }),
    );
  });

  it('never yields an invalid key, whatever the bytes', () => {
    const latin1 = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
    fc.assert(
      fc.property(fc.string({ unit: latin1, maxLength: 300 }), (value) => {
        try {
          expect(isPossibleKey(parse(value))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(IdempotencyKeyInvalid);
        }
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['8e03978e-40d5-43dd-bc93-6894a57f9324', 'a UUID that begins with a digit'],
    ['a', 'one character'],
    ['k'.repeat(255), '255 characters'],
    ['order 7; try=1', 'what would be parameters after a quoted key'],
    ['?1', 'what RFC 8941 calls a boolean'],
    [':YQ==:', 'what RFC 8941 calls bytes'],
    ["it's\\n", 'an apostrophe and a backslash'],
  ])('%p is a bare key: %s', (value) => {
    expect(parse(value)).toBe(value);
  });

  it('counts 255 characters without the quoting', () => {
    expect(parse(quote('"'.repeat(255)))).toHaveLength(255);
    expect(() => parse(quote('"'.repeat(256)))).toThrow(IdempotencyKeyInvalid);
    expect(() => parse('k'.repeat(256))).toThrow(IdempotencyKeyInvalid);
  });

  it('is a possible key up to 255 printable ASCII characters', () => {
    for (const key of ['a', ' a"b,c~', 'k'.repeat(255)]) expect(isPossibleKey(key)).toBe(true);
    for (const key of ['', 'éa', 'aé', 'a\n', 'k'.repeat(256)])
      expect(isPossibleKey(key)).toBe(false);
  });

  it('has a case-sensitive value', () => {
    expect(parse('Abc')).not.toBe(parse('abc'));
  });

  it.each([
    ['', 'empty'],
    ['   ', 'white space only'],
    ['""', 'an empty string'],
    ['"', 'a lone quote'],
    ['"abc', 'an unterminated string'],
    ['abc"', 'a quote at the end'],
    ['a"b"c', 'quotes inside'],
    ['"abc"def', 'something after the string'],
    ['"abc" "def"', 'two strings'],
    ['"abc", "def"', 'a list'],
    ['a,b', 'a comma: two lines, joined by a proxy'],
    ['"abc";v=1', 'a parameter'],
    ['"abc";', 'an empty parameter'],
    ['"a\\bc"', 'a wrong escape'],
    ['"abc\\"', 'an escaped end'],
    ['"a\tb"', 'a tab in a string'],
    ['a\tb', 'a tab'],
    ['caf\u00e9', 'latin-1'],
    ['"caf\u00e9"', 'latin-1 in a string'],
    ['\u00a0abc', 'a no-break space, which is no white space in HTTP'],
    ['a\u007f', 'DEL'],
  ])('%p is refused: %s', (value) => {
    expect(() => parse(value)).toThrow(IdempotencyKeyInvalid);
  });

  it.each([
    [['a', 'a'], 'it was sent more than once'],
    [[' '], 'it is empty'],
    [['k'.repeat(256)], 'it is longer than 255 characters'],
    [['a\tb'], 'it contains characters outside printable ASCII'],
    [['a,b'], 'it contains a quote or a comma'],
    [['"abc'], 'it begins with a quote but is not a quoted string (RFC 8941)'],
  ])('%j is refused with its reason: %s', (lines, why) => {
    expect(() => parse(...lines)).toThrow(`The Idempotency-Key header cannot be used: ${why}.`);
  });

  it('is refused if it is sent twice, equal or not, and required', () => {
    expect(() => parse('a', 'a')).toThrow(IdempotencyKeyInvalid);
    expect(() => parse('a', 'b')).toThrow(IdempotencyKeyInvalid);
    expect(() => parse()).toThrow(IdempotencyKeyMissing);
    expect(() => parseIdempotencyKey(undefined)).toThrow(IdempotencyKeyMissing);
  });
});

describe('Prefer', () => {
  it.each([
    ['wait=0', 0],
    ['wait=7', 7],
    ['WAIT = 7', 7],
    ['wait="7"', 7],
    ['respond-async, wait=7', 7],
    ['wait=7, wait=9', 7],
    ['wait=30', 30],
    ['wait=31', 30],
    ['wait=999999999', 30],
    ['wait=99999999999999999999', 30],
    ['wait=-1', undefined],
    ['wait=1.5', undefined],
    ['wait=', undefined],
    ['wait', undefined],
    ['waiting=1', undefined],
    ['nowait=1', undefined],
    ['wait=7; reason=slow', 7],
    ['', undefined],
    [undefined, undefined],
  ])('%p waits %p seconds', (header, seconds) => {
    expect(parsePreferWait(header)).toBe(seconds);
  });
});
