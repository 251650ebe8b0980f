/**
 * A signal for the end of an exchange with somebody else's server: its time is over, or we stop. Not
 * `AbortSignal.any([AbortSignal.timeout(…), …])`: in Node 20 the garbage collector takes a time limit that only `any`
 * knows of, and then it never comes.
 *
 * @param tooLate the signal's reason when `timeoutMs` are over; that of `stopping` is passed on.
 * @returns the signal, and a function to be called when the exchange has ended.
 */
export function endAfter(timeoutMs: number, stopping: AbortSignal, tooLate: Error) {
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
