import { expect, test } from '@jest/globals';
import { digest } from '../../../src/proof/checker/digest.js';
import { percentile, recoveries, touchedKeys } from '../../../src/proof/checker/recovery.js';
import { story, type Story } from './story.js';

// The numbers of the report that come from the histories.

const touched = (of: Story) => touchedKeys(digest(of.journals())).map(({ marker }) => marker);
const recovered = (of: Story) => recoveries(digest(of.journals()));

test('the requests of a key are in the order of their invocation, whatever the order of the lines', () => {
  const journals = story().ask().ask().ok(2).ok(1).journals();
  const [first, second, ...ends] = journals.history;
  const { keys } = digest({ ...journals, history: [second!, first!, ...ends] });
  expect(keys.map(({ attempts }) => attempts.map(({ n }) => n))).toEqual([[1, 2]]);
});

test('a digest has only what is in the journals', () => {
  const of = story().read('ch_k', 'pending').fault(500).faultWithoutEnd().healed();
  expect(digest(of.journals())).toMatchObject({
    keys: [],
    reads: [{ object: 'ch_k', state: 'pending', at: 1_000, until: 1_000 }],
    faults: [
      { point: 'api', action: 'kill', from: 2_000, to: 2_500 },
      { point: 'api', action: 'stop', from: 3_500, to: Infinity },
    ],
    healedAt: 4_500,
  });
});

test('a key is touched by a fault between its first request and the end of its last', () => {
  expect(touched(story().ask().fault(1_000).ok(1))).toEqual(['a/k']);
  expect(touched(story().fault(1_000).ask().ok(1).fault(1_000))).toEqual([]);
  expect(touched(story().fault(1_000).ask().fault(1_000).ok(1))).toEqual(['a/k']);
  expect(touched(story().ask().ok(1).fault(1_000).ask().ok(2))).toEqual(['a/k']);
  expect(touched(story().ask().ok(1).fault(1_000).ask({ key: 'l' }).ok(2))).toEqual([]);
});

test('a key is touched by a fault that ends when its first request begins, or begins when its last one ends', () => {
  expect(touched(story().fault(1_000).atOnce().ask().ok(1))).toEqual(['a/k']);
  expect(touched(story().ask().ok(1).atOnce().fault(1_000))).toEqual(['a/k']);
});

test('a key is touched by a fault while its record is unfinished', () => {
  expect(touched(story().ask().lost(1).fault(1_000).record())).toEqual(['a/k']);
  expect(touched(story().ask().lost(1).record().fault(1_000))).toEqual([]);
});

test('a request without an end counts from its beginning', () => {
  expect(touched(story().ask().fault(1_000).ask().ok(2))).toEqual(['a/k']);
  expect(touched(story().ask().ask({ key: 'l' }).ok(2).fault(1_000))).toEqual([]);
});

test('recovery is measured from the end of the last fault that overlapped the record', () => {
  const two = story().ask().fault(1_000).fault(2_000).wait(500).record();
  expect(recovered(two)).toEqual([{ marker: 'a/k', ms: 1_500 }]);
  expect(recovered(story().ask().record().fault(1_000))).toEqual([]);
  expect(recovered(story().fault(1_000).ask().record().seenAt(3_000))).toEqual([]);
  expect(recovered(story().ask().fault(1_000).record('k', null, null))).toEqual([]);
  expect(recovered(story().ask().fault(1_000).ok(1))).toEqual([]);
});

test('a fault overlaps a record if they share one millisecond', () => {
  const ends = story().fault(1_000).ask().record().seenAt(2_000);
  expect(recovered(ends)).toEqual([{ marker: 'a/k', ms: 2_000 }]);
  const begins = story().ask().record().atOnce().fault(1_000);
  expect(recovered(begins)).toEqual([{ marker: 'a/k', ms: 0 }]);
});

test('a percentile is one of the values', () => {
  const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);
  expect(percentile(hundred, 0.5)).toBe(50);
  expect(percentile(hundred, 0.99)).toBe(99);
  expect(percentile(hundred, 1)).toBe(100);
  expect(percentile([7], 0.5)).toBe(7);
  expect(percentile([], 0.99)).toBe(0);
});
