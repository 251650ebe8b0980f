import { TypeOrmModule } from '@nestjs/typeorm';
import type { DynamicModule } from '@nestjs/common';
import pg from 'pg';
import type { DataSourceOptions, EntityManager } from 'typeorm';
import { Connection } from './connection.js';

/** A transaction of the caller, or the pool. Whatever runs in a transaction takes it as its first parameter. */
export type Tx = EntityManager;

/** `pg` gives bigint as text; our amounts and sums stay far below 2^53, and a larger one is a fault to hear of. */
function parseBigint(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} is beyond 2^53`);
  return value;
}

const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === Number(pg.types.builtins.INT8) && format !== 'binary'
      ? parseBigint
      : // eslint-disable-next-line @typescript-eslint/no-explicit-any -- pg types the two formats apart
        (pg.types.getTypeParser as any)(oid, format),
};

/**
 * What a session may hold up, in ms. PostgreSQL enforces these whatever becomes of us.
 *
 * They travel as start-up parameters (`options=-c …`), because a SET would cost a round trip and a pooler in
 * transaction mode would give it to somebody else. PgBouncer refuses start-up parameters that it cannot follow: let
 * it ignore this one, and give the role the same values, which then hold for its server connections. The processes
 * say at boot which of them are not in force, with the statement that mends it.
 *
 *     [pgbouncer]
 *     pool_mode = transaction
 *     ignore_startup_parameters = options
 */
export const SESSION_LIMITS_MS = {
  // A statement of ours takes milliseconds; one that takes this long is stuck. Shorter than the client's patience.
  statement_timeout: 10_000,
  // Less than the statement's, so that a wait for a lock is told from a slow statement.
  lock_timeout: 8_000,
  // A process that sleeps inside a transaction loses it, and with it the locks that hold others up.
  idle_in_transaction_session_timeout: 15_000,
  // A killed client's statement ends this soon, instead of running on with its locks until it is done.
  client_connection_check_interval: 500,
} as const;

/** The start-up parameter that carries them. */
export const SESSION_OPTIONS = Object.entries(SESSION_LIMITS_MS)
  .map(([name, ms]) => `-c ${name}=${ms}`)
  .join(' ');

/** What every pool of ours asks of `pg`; times in ms. */
export const POOL_OPTIONS = {
  Client: Connection,
  options: SESSION_OPTIONS,
  // A request that gets no connection in this time is told `database_unavailable`, having done nothing.
  connectionTimeoutMillis: 5_000,
  // Longer than the server's own limits: nobody is there any more, and the connection with it is given up.
  query_timeout: SESSION_LIMITS_MS.statement_timeout + 2_000,
} satisfies pg.PoolConfig;

/**
 * The pool. TypeORM carries connections, transactions and migrations; the SQL stands where it is run,
 * because the SQL is what this project teaches.
 */
export function databaseModule(url: string, poolSize: number): DynamicModule {
  return TypeOrmModule.forRoot({ ...databaseOptions(url, poolSize), retryAttempts: 1 });
}

/** The same for a command, which makes its own `DataSource`. */
export function databaseOptions(url: string, poolSize: number) {
  return {
    type: 'postgres',
    url,
    installExtensions: false,
    poolSize,
    applicationName: 'charge-once',
    extra: { ...POOL_OPTIONS, types },
  } satisfies DataSourceOptions;
}
