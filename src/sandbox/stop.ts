import type { Sandbox } from './sandbox.server.js';

/** Closes the sandbox on a signal, or when the parent has gone; then the process exits with 0. */
export function stopInGoodOrder(sandbox: Sandbox, onFailure: (error: unknown) => void): void {
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    sandbox.close().then(() => process.exit(0), onFailure);
  };
  // `once`: a second signal finds no listener and ends the process at once, as it would any other.
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // A parent that was killed cannot send a signal, but its end of the IPC channel closes.
  process.once('disconnect', stop);
  // ... and it may have closed while the sandbox was starting, before there was a listener.
  if (process.send && !process.connected) stop();
}
