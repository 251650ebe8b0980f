import { readSandboxConfig, SandboxConfigError } from './config.js';
import { startSandbox, type Sandbox } from './sandbox.server.js';

/** EX_CONFIG of sysexits.h. Starting again will not help, so a supervisor must not try. */
const EXIT_CONFIG = 78;

const sandbox = await start();

let stopping = false;
const stop = (): void => {
  if (stopping) return;
  stopping = true;
  sandbox.close().then(
    () => process.exit(0),
    (error: unknown) => fail(`the sandbox did not stop cleanly: ${text(error)}`, 1),
  );
};
// `once`: a second signal finds no listener and ends the process at once, as it would any other.
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
// A parent that was killed cannot send a signal, but its end of the IPC channel closes.
process.once('disconnect', stop);
// ... and it may have closed while the sandbox was starting, before there was a listener.
if (process.send && !process.connected) stop();

async function start(): Promise<Sandbox> {
  try {
    return await startSandbox(readSandboxConfig());
  } catch (error) {
    if (error instanceof SandboxConfigError) return fail(error.message, EXIT_CONFIG);
    const { code, port } = error as { code?: string; port?: number };
    if (code === 'EADDRINUSE') {
      return fail(`port ${port} is taken: stop its owner or set SANDBOX_PORT`, EXIT_CONFIG);
    }
    return fail(`the sandbox could not start: ${text(error)}`, 1);
  }
}

function fail(line: string, exitCode: number): never {
  console.error(line);
  process.exit(exitCode);
}

function text(error: unknown): string {
  // Node reports a refused connection to several addresses as an AggregateError without a message.
  if (error instanceof AggregateError) return error.errors.map(text).join('; ');
  return error instanceof Error ? error.message : String(error);
}
