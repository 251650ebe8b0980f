let awakeOffset = 0;

/**
 * Milliseconds since this process started, including time in which the machine was suspended. `performance.now()`
 * (CLOCK_MONOTONIC on Linux) stops during a suspend. Any gain of the wall clock over it counts as elapsed time. So the
 * result can be too large (after a clock correction), but never too small. Use it for "not later than".
 */
export function elapsedMs(): number {
  const steady = performance.now();
  awakeOffset = Math.max(awakeOffset, Date.now() - performance.timeOrigin - steady);
  return steady + awakeOffset;
}
