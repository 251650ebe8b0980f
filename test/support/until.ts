import { setTimeout as delay } from 'node:timers/promises';

/** Longer than several programs need to start on a starved machine, in ms. For hangs, not for speed. */
export const PATIENCE_MS = 150_000;

/** How long it pauses between two questions, in ms: less costs CPU time, most of all where a process is starting. */
const PAUSE_MS = { first: 5, most: 50 };

/**
 * Waits until a condition holds, asked again and again; an exception counts as "not yet".
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
      throw new Error(`not so within ${timeoutMs} ms: ${condition.toString()}`, { cause });
    }
    await delay(pauseMs);
  }
}
