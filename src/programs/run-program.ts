import { Logger, type DynamicModule } from '@nestjs/common';
import { loadConfig, type Config, ownEnvironment } from '../config.js';
import { isConnectionLost } from '../idempotency/errors.js';
import { type OperatorError, operatorError } from './operator-error.js';
import { checkDatabase } from '../database/database-check.js';
import { redactError, nameOf } from '../log/redacted-error.js';
import { createHttpApp, serve } from '../http/http-process.js';

/**
 * Runs a program. An error that the operator can repair becomes one clear line; our own fault becomes a log line.
 * @param environment the settings; by default those of this process.
 */
export async function run(
  start: (config: Config) => Promise<void>,
  environment: () => Promise<NodeJS.ProcessEnv> = ownEnvironment,
): Promise<void> {
  // Node would print every property of the error. A PostgreSQL error contains the rejected row.
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

/** Checks the database, then listens, so that a client that can connect can rely on the database. */
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
      'PROCESSOR_WEBHOOK_SECRET is not set: every notification from the processor is refused',
    );
  }
  await serve(app, config.host, port, config.stopping);
}

/** The line to print and the exit code for a program that cannot start; undefined for our own fault. */
export function refusalOf(error: unknown): OperatorError | undefined {
  const known = operatorError(error);
  if (known || !isConnectionLost(error)) return known;
  return { line: `The database cannot be reached: ${nameOf(error)}.`, exitCode: 1 };
}
