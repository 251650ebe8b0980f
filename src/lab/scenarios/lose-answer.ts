import type { Lane } from '../program/lane.js';

/**
 * One purchase that is paid, and whose answer is lost. On a busy machine the first call of a new process may end before
 * it reaches the processor: then nothing was paid, and the story has not begun.
 */
export async function buyAndLoseTheAnswer(
  lane: Lane,
  key: string,
  purchase: object = {},
): Promise<void> {
  for (let tries = 0; tries < 3; tries++) {
    await lane.buy(key, { fault: 'lose-response' }, purchase);
    if ((await lane.paid()).length > 0) return;
  }
}
