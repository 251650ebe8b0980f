import type { AddressInfo } from 'node:net';
import { RuntimeException } from '@nestjs/core/errors/exceptions/runtime.exception.js';
import { EXIT_CONFIGURATION } from '../config.js';
import { ConfigurationError } from '../environment/environment.js';
import { IdempotencyMisconfigured } from '../idempotency/errors.js';
import { ReadOnlyDatabase, UnfitDatabase } from '../database/database-check.js';
import { databaseRefusal } from '../database/database-refusals.js';
import { MigrationBlocked } from '../database/lock-retries.js';
import { MigrationLockLost, MigrationOutOfTime } from '../database/migrate.js';

export interface OperatorError {
  line: string;
  /** 78 means that a restart will not help. */
  exitCode: number;
}

const PERMANENT = [ConfigurationError, UnfitDatabase, MigrationOutOfTime];

/** A restart may help. */
const TEMPORARY = [
  ReadOnlyDatabase,
  MigrationLockLost,
  MigrationBlocked,
  // Refusals of Nest and of the engine, whose messages contain only our classes and routes.
  RuntimeException,
  IdempotencyMisconfigured,
];

/** What the operator can repair becomes one line, in every program. Undefined for anything else: our own fault. */
export function operatorError(error: unknown): OperatorError | undefined {
  const isOneOf = (classes: (abstract new (...args: never[]) => Error)[]) =>
    classes.some((each) => error instanceof each);
  if (isOneOf(PERMANENT)) return { line: (error as Error).message, exitCode: EXIT_CONFIGURATION };
  if (isOneOf(TEMPORARY)) return { line: (error as Error).message, exitCode: 1 };
  const line = portRefusal(error) ?? databaseRefusal(error);
  return line === undefined ? undefined : { line, exitCode: EXIT_CONFIGURATION };
}

/** Why the port cannot be used. Checks the syscall, because a connection to PostgreSQL fails with the same codes. */
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
