import { once } from 'node:events';
import { Logger, type DynamicModule } from '@nestjs/common';
import { RuntimeException } from '@nestjs/core/errors/exceptions/runtime.exception.js';
import { ConfigurationError, EXIT_CONFIGURATION, loadConfig, type Config } from './config.js';
import { IdempotencyMisconfigured, isConnectionLost } from './idempotency/errors.js';
import { checkDatabase, ReadOnlyDatabase, UnfitDatabase } from './platform/database-check.js';
import { databaseRefusal } from './platform/database-refusals.js';
import { faultOf, nameOf } from './platform/fault.js';
import { createHttpApp, serve } from './platform/http-process.js';
import { MigrationBlocked } from './platform/lock-retries.js';
import { MigrationLockLost } from './platform/migrate.js';

/**
 * Runs a program: what its operator got wrong is one clear line, a fault of ours is a line for the log.
 * @param environment the settings; by default those of this process.
 */
export async function run(
  start: (config: Config) => Promise<void>,
  environment: () => Promise<NodeJS.ProcessEnv> = ownEnvironment,
): Promise<void> {
  // Node would print the error with all its properties: of PostgreSQL's, the row that was refused.
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      console.error(JSON.stringify({ level: 'fatal', msg: event, fault: faultOf(error) }));
      process.exit(1);
    });
  }
  try {
    await start(loadConfig(await environment()));
  } catch (error) {
    const known = operatorError(error);
    console.error(known?.line ?? JSON.stringify({ level: 'fatal', fault: faultOf(error) }));
    process.exit(known?.exitCode ?? 1);
  }
}

/** The environment of this process, completed by `npm start` as soon as what the program needs is there. */
async function ownEnvironment(): Promise<NodeJS.ProcessEnv> {
  if (process.env.ENV_BY_MESSAGE && process.connected) {
    const [later] = (await once(process, 'message')) as [NodeJS.ProcessEnv];
    Object.assign(process.env, later);
  }
  return process.env;
}

/** Looks at the database, then listens: whoever can connect may rely on it. */
export async function startHttp(
  module: DynamicModule,
  config: Config,
  port: number,
): Promise<void> {
  const warnings = await checkDatabase(config.databaseUrl, config.allowUnsafeDatabase);
  const app = await createHttpApp(module, config.http);
  for (const warning of warnings) new Logger('Database').warn(warning);
  if (config.production && config.processor.webhookSecret === undefined) {
    new Logger('Processor').warn(
      'PROCESSOR_WEBHOOK_SECRET is not set: every notification of the processor is refused',
    );
  }
  await serve(app, config.host, port, config.stopping);
}

interface OperatorError {
  line: string;
  /** 78 tells a supervisor that starting again will not help. */
  exitCode: number;
}

function operatorError(error: unknown): OperatorError | undefined {
  if (error instanceof ConfigurationError || error instanceof UnfitDatabase)
    return { line: error.message, exitCode: EXIT_CONFIGURATION };
  // A supervisor may try again.
  for (const passing of [ReadOnlyDatabase, MigrationLockLost, MigrationBlocked])
    if (error instanceof passing) return { line: error.message, exitCode: 1 };
  // Nest's own refusals, and the engine's, name our classes and routes and nothing else.
  if (error instanceof RuntimeException || error instanceof IdempotencyMisconfigured)
    return { line: error.message, exitCode: 1 };
  const { code = '', port, address } = error as { code?: string; port?: number; address?: string };
  const lines: Record<string, string> = {
    EADDRINUSE: `Port ${port} on ${address} is taken: stop what listens there, or choose another.`,
    EADDRNOTAVAIL: `HOST=${address} is no address of this machine: set 127.0.0.1, or 0.0.0.0 for all.`,
    EACCES: `Port ${port} may not be used by this user: choose one above 1023.`,
  };
  const line = Object.hasOwn(lines, code) ? lines[code] : databaseRefusal(error);
  if (line !== undefined) return { line, exitCode: EXIT_CONFIGURATION };
  if (isConnectionLost(error)) {
    return { line: `The database cannot be reached: ${nameOf(error)}.`, exitCode: 1 };
  }
  return undefined;
}
