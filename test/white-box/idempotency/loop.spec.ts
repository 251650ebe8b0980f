import { afterEach, expect, test } from '@jest/globals';
import { Loop, type PollPauses } from '../../../src/idempotency/loop.js';
import { until } from '../../support/until.js';

const LONG: PollPauses = { busyMs: 600_000, idleMs: 600_000 };
let loop: Loop;
let runs: number;
afterEach(() => loop.stop());

function startLoop(pauses: PollPauses, run: () => Promise<boolean | void>): void {
  runs = 0;
  loop = new Loop('test', pauses, () => {
    runs += 1;
    return run();
  });
  loop.start();
}

test('a loop that is woken during a run runs again: the run may have looked too early', async () => {
  startLoop(LONG, async () => {
    if (runs === 1) loop.wake();
  });
  await until(async () => runs === 2);
});

test('a loop that is woken during a pause ends it', async () => {
  startLoop(LONG, async () => undefined);
  await new Promise(setImmediate); // the run has ended
  loop.wake();
  await until(async () => runs === 2);
});

test('a loop that is woken in each run polls a tenth of the time', async () => {
  const [began, RUN_MS] = [performance.now(), 20];
  startLoop(LONG, async () => {
    loop.wake();
    const end = performance.now() + RUN_MS;
    while (performance.now() < end);
  });
  await until(async () => runs === 4);
  expect(performance.now() - began).toBeGreaterThan(3 * 9 * RUN_MS);
});

test('a loop that is woken during a run that fails pauses all the same', async () => {
  const starts: number[] = [];
  startLoop({ busyMs: 1, idleMs: 1 }, async () => {
    starts.push(performance.now());
    loop.wake();
    if (runs === 1) throw new Error('no database');
  });
  await until(async () => runs >= 2); // after 0.5 to 1.5 s: the constant is not a parameter
  expect(starts[1]! - starts[0]!).toBeGreaterThan(400);
});
