import type { Lane } from '../program/lane.js';

/**
 * Makes one purchase that the processor pays, and loses its answer. On a busy machine the first call of a new process
 * may end before it reaches the processor. Then nothing was paid, and the purchase is sent again, three times at most.
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
