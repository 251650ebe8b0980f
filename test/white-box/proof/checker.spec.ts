import { expect, test } from '@jest/globals';
import { check, RULES } from '../../../src/proof/checker/check.js';
import { ILLEGAL } from './illegal-histories.js';
import { LEGAL } from './legal-histories.js';
import { story, type Story } from './story.js';

// Hand-written histories. A legal one has no violation. An illegal one breaks exactly the rule that it names.

const broken = (of: Story) => [...new Set(check(of.journals()).map(({ rule }) => rule))];

test.each(LEGAL)('accepts: %s', (_, legal) => {
  expect(check(legal.journals())).toEqual([]);
});

test.each(ILLEGAL)('%s refuses: %s', (rule, _, illegal) => {
  expect(broken(illegal)).toEqual([rule]);
});

test('while the service works, what is missing may still come', () => {
  const journals = story().paid('k', { hasReceipt: true }).journals();
  expect(check(journals, false)).toEqual([]);
});

test('while the service works, what is there twice is a violation', () => {
  const journals = story().paid('k', { hasReceipt: true }).mail().mail('m2').journals();
  expect(check(journals, false)).toMatchObject([{ rule: 'one receipt' }]);
});

test('every rule has a history that only it refuses', () => {
  expect(new Set(ILLEGAL.map(([rule]) => rule))).toEqual(new Set(Object.keys(RULES)));
});

test("a witness has the key's requests and the faults that overlapped, and no others", () => {
  const journals = story().fault(10).ask({ key: 'l' }).lost(1).ask().fault(1_000).lost(2).ask();
  const [violation] = check(journals.ok(3).ask().ok(4, 'other').paid().journals());
  expect(violation?.witness.split('\n').map((line) => line.trim())).toEqual([
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
