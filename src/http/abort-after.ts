/**
 * An abort signal for a call to another server: on timeout, or when this process stops. Not
 * `AbortSignal.any([AbortSignal.timeout(…), …])`: in Node 20, a timeout signal that only `any` references is garbage
 * collected, and then never fires.
 *
 * @param tooLate the signal's reason after `timeoutMs`; the reason of `stopping` is passed on.
 * @returns the signal, and a function to call when the exchange has ended.
 */
export function abortAfter(timeoutMs: number, stopping: AbortSignal, tooLate: Error) {
  const end = new AbortController();
  const stop = () => end.abort(stopping.reason);
  const timer = setTimeout(() => end.abort(tooLate), timeoutMs);
  if (stopping.aborted) stop();
  else stopping.addEventListener('abort', stop);
  const release = () => {
    clearTimeout(timer);
    stopping.removeEventListener('abort', stop);
  };
  return { signal: end.signal, release };
}
