import { Logger, type DynamicModule } from '@nestjs/common';
import { loadConfig, type Config, ownEnvironment } from '../config.js';
import { isConnectionLost } from '../idempotency/errors.js';
import { type OperatorError, operatorError } from './operator-error.js';
import { checkDatabase } from '../database/database-check.js';
import { redactError, nameOf } from '../log/redacted-error.js';
import { createHttpApp, serve } from '../http/http-process.js';

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
      console.error(JSON.stringify({ level: 'fatal', msg: event, fault: redactError(error) }));
      process.exit(1);
    });
  }
  try {
    await start(loadConfig(await environment()));
  } catch (error) {
    const known = refusalOf(error);
    console.error(known?.line ?? JSON.stringify({ level: 'fatal', fault: redactError(error) }));
    process.exit(known?.exitCode ?? 1);
  }
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

/** What a program that cannot start prints, and how it ends; undefined for a fault of ours. */
export function refusalOf(error: unknown): OperatorError | undefined {
  return operatorError(error) ?? unreachable(error);
}

function unreachable(error: unknown): OperatorError | undefined {
  if (!isConnectionLost(error)) return undefined;
  return { line: `The database cannot be reached: ${nameOf(error)}.`, exitCode: 1 };
}
