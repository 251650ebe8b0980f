import { expect, test } from '@jest/globals';
import { check, RULES } from '../../../src/proof/checker/check.js';
import { ILLEGAL_BOUNDARIES, LEGAL_BOUNDARIES } from './boundary-histories.js';
import { ILLEGAL_CONSEQUENCES, LEGAL_CONSEQUENCES } from './consequence-histories.js';
import { FINDINGS } from './findings.js';
import { ILLEGAL } from './illegal-histories.js';
import { LEGAL } from './legal-histories.js';
import { ILLEGAL_OBJECTS, LEGAL_OBJECTS } from './object-histories.js';
import { story, type Story } from './story.js';
import { ILLEGAL_UNSEEN, LEGAL_UNSEEN } from './unseen-histories.js';

// Hand-written histories. A legal one has no violation. An illegal one breaks exactly the rule that it names.

const broken = (of: Story) => [...new Set(check(of.journals()).map(({ rule }) => rule))];

const ALL_LEGAL = [
  ...LEGAL,
  ...LEGAL_OBJECTS,
  ...LEGAL_CONSEQUENCES,
  ...LEGAL_BOUNDARIES,
  ...LEGAL_UNSEEN,
];

test.each(ALL_LEGAL)('accepts: %s', (_, legal) => {
  expect(check(legal.journals())).toEqual([]);
});

const trimmed = (witness = '') => witness.split('\n').map((line) => line.trim());

const ALL_ILLEGAL = [
  ...ILLEGAL,
  ...ILLEGAL_BOUNDARIES,
  ...ILLEGAL_OBJECTS,
  ...ILLEGAL_CONSEQUENCES,
  ...ILLEGAL_UNSEEN,
];

test.each(ALL_ILLEGAL)('%s refuses: %s', (rule, _, illegal) => {
  expect(broken(illegal)).toEqual([rule]);
});

test('each finding names its key, says what is wrong, and waits for a quiet service if it must', () => {
  const lines = ALL_ILLEGAL.flatMap(([rule, name, illegal]) => {
    const journals = illegal.journals();
    const atOnce = check(journals, false).map(({ says }) => says);
    return check(journals).map(({ marker = 'no key', says }) =>
      [rule, name, marker, atOnce.includes(says) ? 'at once' : 'at rest', says].join(' | '),
    );
  });
  expect(lines).toEqual(FINDINGS.trim().split('\n'));
});

test('while the service works, what is missing may still appear', () => {
  const journals = story().paid('k', { hasReceipt: true }).journals();
  expect(check(journals, false)).toEqual([]);
});

test('while the service works, what is there twice is a violation', () => {
  const journals = story().paid('k', { hasReceipt: true }).mail().mail('m2').journals();
  expect(check(journals, false)).toMatchObject([{ rule: 'one receipt' }]);
});

test('every rule has a history that only it refuses', () => {
  expect(new Set(ALL_ILLEGAL.map(([rule]) => rule))).toEqual(new Set(Object.keys(RULES)));
});

test("a witness has the key's requests and the faults that overlapped, and no others", () => {
  const journals = story().fault(10).ask({ key: 'l' }).lost(1).ask().fault(1_000).lost(2).ask();
  const [violation] = check(journals.ok(3).ask().ok(4, 'other').paid().journals());
  expect(trimmed(violation?.witness)).toEqual([
    '0.000 s  #2 invoke  POST /charges A',
    '1.000 s  fault begins: api × kill',
    '2.000 s  fault ends:   api × kill',
    '3.000 s  #2 unknown',
    '4.000 s  #3 invoke  POST /charges A',
    '5.000 s  #3 ok      201 paid',
    '6.000 s  #4 invoke  POST /charges A',
    '7.000 s  #4 ok      201 other',
    '8.000 s  record completed: 201',
  ]);
});

test('a witness has faults that share one millisecond with the key, and none after its record', () => {
  const touching = story().fault(1_000).atOnce().ask().ok(1).ask().ok(2, 'other').paid();
  const [violation] = check(touching.atOnce().fault(1_000).fault(1_000).journals());
  expect(trimmed(violation?.witness)).toEqual([
    '-1.000 s  fault begins: api × kill',
    '0.000 s  #1 invoke  POST /charges A',
    '0.000 s  fault ends:   api × kill',
    '1.000 s  #1 ok      201 paid',
    '2.000 s  #2 invoke  POST /charges A',
    '3.000 s  #2 ok      201 other',
    '4.000 s  fault begins: api × kill',
    '4.000 s  record completed: 201',
    '5.000 s  fault ends:   api × kill',
  ]);
});

test('a witness shows no end of what has not ended', () => {
  const [violation] = check(
    story().ask().faultWithoutEnd().healed().record('k', null, null).journals(),
  );
  expect(trimmed(violation?.witness)).toEqual([
    '0.000 s  #1 invoke  POST /charges A',
    '1.000 s  fault begins: api × stop',
  ]);
});

test('a finding without a key has no witness', () => {
  const [violation] = check(story().product(-1, 0).journals());
  expect(violation?.witness).toBe('');
});

test('a history in which a request ends that never began is refused', () => {
  expect(() => check(story().ok(7).journals())).toThrow('request 7 ends and never began');
});
