import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits until a condition holds, asked every 10 ms; an exception counts as "not yet". The limit is for hangs, not for
 * speed: what is waited for may be several programs that start.
 * @throws Error after `timeoutMs`, with the last exception as its cause.
 */
export async function until(condition: () => Promise<boolean>, timeoutMs = 150_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    let cause: unknown;
    try {
      if (await condition()) return;
    } catch (error) {
      cause = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`not so within ${timeoutMs} ms: ${condition.toString()}`, { cause });
    }
    await delay(10);
  }
}
