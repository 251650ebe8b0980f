import { setTimeout as delay } from 'node:timers/promises';

/** Short enough for a fault that must end immediately. */
const PAUSE_MS = 20;

type Condition = () => boolean | Promise<boolean>;

/** Waits until the condition is true. @returns false if that takes longer than `limitMs`, or the signal aborts */
export async function isTrueWithin(
  limitMs: number,
  condition: Condition,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = Date.now() + limitMs;
  while (!signal?.aborted) {
    if (await condition()) return true;
    if (Date.now() > deadline) return false;
    await delay(PAUSE_MS);
  }
  return false;
}

/** @param what a sentence that becomes true. @throws Error with that sentence if it takes longer than `limitMs` */
export async function until(what: string, limitMs: number, condition: Condition): Promise<void> {
  if (await isTrueWithin(limitMs, condition)) return;
  throw new Error(`not true after ${limitMs / 1000} s: ${what}`);
}
