import type { AddressInfo } from 'node:net';
import { RuntimeException } from '@nestjs/core/errors/exceptions/runtime.exception.js';
import { EXIT_CONFIGURATION } from '../config.js';
import { ConfigurationError } from './environment.js';
import { IdempotencyMisconfigured } from '../idempotency/errors.js';
import { ReadOnlyDatabase, UnfitDatabase } from '../database/database-check.js';
import { databaseRefusal } from '../database/database-refusals.js';
import { MigrationBlocked } from '../database/lock-retries.js';
import { MigrationLockLost, MigrationOutOfTime } from '../database/migrate.js';

export interface OperatorError {
  line: string;
  /** 78 tells a supervisor that starting again will not help. */
  exitCode: number;
}

const LASTING = [ConfigurationError, UnfitDatabase, MigrationOutOfTime];

/** A supervisor may try again. */
const PASSING = [
  ReadOnlyDatabase,
  MigrationLockLost,
  MigrationBlocked,
  // Nest's own refusals, and the engine's, name our classes and routes and nothing else.
  RuntimeException,
  IdempotencyMisconfigured,
];

/** What the operator can repair is one line, in every program. All else is a fault of ours: undefined. */
export function operatorError(error: unknown): OperatorError | undefined {
  const isOneOf = (classes: (abstract new (...args: never[]) => Error)[]) =>
    classes.some((each) => error instanceof each);
  if (isOneOf(LASTING)) return { line: (error as Error).message, exitCode: EXIT_CONFIGURATION };
  if (isOneOf(PASSING)) return { line: (error as Error).message, exitCode: 1 };
  const line = portRefusal(error) ?? databaseRefusal(error);
  return line === undefined ? undefined : { line, exitCode: EXIT_CONFIGURATION };
}

/** Why nothing can listen there. A connection to PostgreSQL fails with the same codes. */
function portRefusal(error: unknown): string | undefined {
  const {
    code = '',
    port,
    address,
    syscall,
  } = error as NodeJS.ErrnoException & Partial<AddressInfo>;
  if (syscall !== 'listen') return undefined;
  const lines: Record<string, string> = {
    EADDRINUSE: `Port ${port} on ${address} is taken: stop what listens there, or choose another.`,
    EADDRNOTAVAIL: `HOST=${address} is no address of this machine: set 127.0.0.1, or 0.0.0.0 for all.`,
    EACCES: `Port ${port} may not be used by this user: choose one above 1023.`,
  };
  return Object.hasOwn(lines, code) ? lines[code] : undefined;
}
