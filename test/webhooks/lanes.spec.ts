import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Lanes } from '../../src/webhooks/outgoing/lanes.js';

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
  const [first] = await enterBoth();
  const third = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(QUICK_MS);
  expect(third()).toBeUndefined();
  const fourth = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(0);
  expect(fourth()).toBeUndefined();
  await jest.advanceTimersByTimeAsync(1);
  first.leave(); // after a slow exchange
  expect(await lanes.enter('we_a')).toBeDefined(); // the lane itself is free
  const sixth = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(0);
  expect(sixth()).toBeUndefined();
});

test('an endpoint that has become quick again is waited for', async () => {
  const [first, second] = await enterBoth();
  await jest.advanceTimersByTimeAsync(QUICK_MS + 1);
  first.leave();
  const quick = (await lanes.enter('we_a'))!;
  quick.leave();
  await lanes.enter('we_a');
  const waiter = answerOf(lanes.enter('we_a'));
  await jest.advanceTimersByTimeAsync(0);
  expect(waiter()).toBe('waits');
  second.leave();
  await jest.advanceTimersByTimeAsync(0);
  expect(waiter()).toEqual({ leave: expect.any(Function) });
});

test('each endpoint has lanes of its own, and none are remembered when all have been left', async () => {
  const [first, second] = await enterBoth();
  expect(await lanes.enter('we_b')).toBeDefined();
  first.leave();
  second.leave();
  const again = await enterBoth();
  expect(again.every(Boolean)).toBe(true);
});
