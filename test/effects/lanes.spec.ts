import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Lanes } from '../../src/jobs/lanes.js';

const QUICK_MS = 250;

/** Which of two lanes an endpoint's requests get, and when. */
let lanes: Lanes;
beforeEach(() => {
  jest.useFakeTimers();
  lanes = new Lanes(2);
});
afterEach(() => {
  jest.useRealTimers();
});

const enterBoth = async () => [(await lanes.enter('we_a'))!, (await lanes.enter('we_a'))!] as const;

/** What it has been told, if anything. */
function answerOf<T>(asked: Promise<T>): () => T | 'waits' {
  let answer: T | 'waits' = 'waits';
  void asked.then((told) => (answer = told));
  return () => answer;
}

test('who comes third waits for a lane, and gets it when somebody leaves', async () => {
  const [first] = await enterBoth();
  const third = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(QUICK_MS - 1);
  expect(third()).toBe('waits');
  first.leave();
  await jest.advanceTimersByTimeAsync(0);
  expect(third()).toEqual({ leave: expect.any(Function) });
  await jest.advanceTimersByTimeAsync(QUICK_MS); // its patience is not needed any more
  const fourth = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(0);
  expect(fourth()).toBe('waits'); // the lane was handed on, not doubled
});

test('who waited in vain is refused, and whoever comes next is not even kept waiting', async () => {
  await enterBoth();
  const third = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(QUICK_MS);
  expect(third()).toBeUndefined();
  const fourth = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(0);
  expect(fourth()).toBeUndefined();
});

test('a slow server has a fifth of the lanes, until it is quick again', async () => {
  lanes = new Lanes(10);
  await lanes.enter('we_a'); // and never ends
  const slow = (await lanes.enter('we_a'))!;
  await jest.advanceTimersByTimeAsync(QUICK_MS + 1);
  slow.leave();
  const quick = (await lanes.enter('we_a'))!;
  const third = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(0);
  expect(third()).toBeUndefined();
  quick.leave();
  for (let lane = 2; lane <= 10; lane++) expect(await lanes.enter('we_a')).toBeDefined();
  const eleventh = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(0);
  expect(eleventh()).toBe('waits');
});

test('each endpoint has lanes of its own, and none are remembered when all have been left', async () => {
  const [first, second] = await enterBoth();
  expect(await lanes.enter('we_b')).toBeDefined();
  first.leave();
  second.leave();
  const again = await enterBoth();
  expect(again.every(Boolean)).toBe(true);
});
