import { ConfigurationError, EXIT_CONFIGURATION, loadConfig, type Config } from './config.js';

/** Runs a process: what its operator got wrong is one clear line, a fault of ours is a stack trace. */
export async function run(start: (config: Config) => Promise<void>): Promise<void> {
  try {
    await start(loadConfig());
  } catch (error) {
    const line = operatorError(error);
    console.error(line ?? error);
    process.exit(line === undefined ? 1 : EXIT_CONFIGURATION);
  }
}

function operatorError(error: unknown): string | undefined {
  if (error instanceof ConfigurationError) return error.message;
  const { code, port, address } = error as { code?: string; port?: number; address?: string };
  if (code === 'EADDRINUSE')
    return `Port ${port} on ${address} is taken: stop what listens there, or choose another.`;
  if (code === 'EACCES' && port !== undefined)
    return `Port ${port} may not be used by this user: choose one above 1023.`;
  return undefined;
}
