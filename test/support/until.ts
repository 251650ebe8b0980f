import { setTimeout as delay } from 'node:timers/promises';

/**
 * In ms: longer than several programs need to start on an overloaded machine. It is there to end hangs, not to measure
 * speed.
 */
export const PATIENCE_MS = 150_000;

/** Pauses between two checks, in ms. Shorter costs CPU time, most of all while a process starts. */
const PAUSE_MS = { first: 5, most: 50 };

/**
 * Waits until a condition holds. Checks it repeatedly; an exception counts as "not yet".
 * @throws Error after `timeoutMs`, with the last exception as its cause.
 */
export async function until(
  condition: () => Promise<boolean>,
  timeoutMs = PATIENCE_MS,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (let pauseMs = PAUSE_MS.first; ; pauseMs = Math.min(pauseMs * 1.5, PAUSE_MS.most)) {
    let cause: unknown;
    try {
      if (await condition()) return;
    } catch (error) {
      cause = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`not true within ${timeoutMs} ms: ${condition.toString()}`, { cause });
    }
    await delay(pauseMs);
  }
}
