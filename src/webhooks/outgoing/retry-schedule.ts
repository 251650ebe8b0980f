const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** The pauses between attempts, in ms: about three days in all, before jitter. */
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

/** The longest `Retry-After` that we accept, in ms. A longer value counts as this. */
const MAX_RETRY_AFTER_MS = 24 * HOUR;

/** @returns the time until the attempt after number `attempts`, in ms; undefined if there is none. */
export function pauseAfter(
  attempts: number,
  retryAfterMs = 0,
  random = Math.random(),
): number | undefined {
  const pause = PAUSES_MS[attempts - 1];
  return pause && Math.max(pause * (0.75 + random / 2), Math.min(retryAfterMs, MAX_RETRY_AFTER_MS));
}
