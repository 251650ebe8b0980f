import type { ChildProcess } from 'node:child_process';
import { until } from './until.js';

/**
 * Waits until a program that was just started answers.
 * @param printed returns its output so far.
 * @throws Error with that output if the program ends.
 */
export async function untilReady(
  child: ChildProcess,
  isReady: () => Promise<boolean>,
  printed: () => string = () => '',
): Promise<void> {
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  await until(async () => ended() || (await isReady()));
  if (ended())
    throw new Error(`${child.spawnargs.at(-1)} ended before it was ready:\n${printed()}`);
}
