import type { Sandbox } from './sandbox.server.js';

/** Closes the sandbox on a signal, or when the parent process has died. Then the process exits with 0. */
export function stopCleanly(sandbox: Sandbox, onFailure: (error: unknown) => void): void {
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    sandbox.close().then(() => process.exit(0), onFailure);
  };
  // `once`: a second signal has no handler and ends the process immediately.
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // A parent that was killed cannot send a signal, but its end of the IPC channel closes.
  process.once('disconnect', stop);
  // It may have closed during start-up, before the listener above existed.
  if (process.send && !process.connected) stop();
}
