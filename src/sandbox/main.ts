import { ownEnvironment, readSandboxConfig, SandboxConfigError } from './config.js';
import { startSandbox, type Sandbox } from './sandbox.server.js';
import { stopCleanly } from './stop.js';

/** EX_CONFIG of sysexits.h: a restart will not help, so a supervisor must not try. */
const EXIT_CONFIG = 78;

stopCleanly(await start(), (error) => fail(`the sandbox did not stop cleanly: ${text(error)}`, 1));

async function start(): Promise<Sandbox> {
  try {
    return await startSandbox(readSandboxConfig(await ownEnvironment()));
  } catch (error) {
    if (error instanceof SandboxConfigError) return fail(error.message, EXIT_CONFIG);
    const { code, port } = error as { code?: string; port?: number };
    if (code === 'EADDRINUSE') {
      return fail(`port ${port} is taken: stop its owner or set SANDBOX_PORT`, EXIT_CONFIG);
    }
    if (code === '08P01') {
      return fail(
        'the pooler in front of the database refuses start-up parameters: set ignore_startup_parameters = options in PgBouncer',
        EXIT_CONFIG,
      );
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
