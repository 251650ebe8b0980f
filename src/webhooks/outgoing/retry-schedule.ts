const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The pauses between attempts, in ms; some three days in all, before jitter. */
export const PAUSES_MS = [
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  24 * HOUR,
  24 * HOUR,
];

/** Longer wishes of a receiver are cut to this, in ms. */
const LONGEST_WISH_MS = 24 * HOUR;

/** @returns ms until the next attempt after `attempts`, or undefined when it is over. */
export function pauseAfter(
  attempts: number,
  retryAfterMs = 0,
  random = Math.random(),
): number | undefined {
  const pause = PAUSES_MS[attempts - 1];
  return pause && Math.max(pause * (0.75 + random / 2), Math.min(retryAfterMs, LONGEST_WISH_MS));
}
