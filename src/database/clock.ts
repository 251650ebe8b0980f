let awakeOffset = 0;

/**
 * Milliseconds since this process began, those included in which the machine was suspended: `performance.now()` (on
 * Linux CLOCK_MONOTONIC) stands still then. It takes whatever the wall clock has gained over it for time that has
 * passed, so that it may run ahead (the wall clock was corrected) but never behind: made for "not later than".
 */
export function elapsedMs(): number {
  const steady = performance.now();
  awakeOffset = Math.max(awakeOffset, Date.now() - performance.timeOrigin - steady);
  return steady + awakeOffset;
}
