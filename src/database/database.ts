import { TypeOrmModule } from '@nestjs/typeorm';
import type { DynamicModule } from '@nestjs/common';
import pg from 'pg';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { Database, TypeOrmDatabase, type Queryable, type Tx } from '../idempotency/database.js';
import { Connection, ReadingConnection } from './connection.js';
import { connectionTarget } from './connection-target.js';
import { SESSION_LIMITS_MS, SESSION_OPTIONS, UNLIMITED_SESSION_OPTIONS } from './session.js';

export { Database, TypeOrmDatabase, type Queryable, type Tx };

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

/** What every pool of ours asks of `pg`; times in ms. */
export const POOL_OPTIONS = {
  Client: Connection,
  options: SESSION_OPTIONS,
  // A request that gets no connection in this time is told `database_unavailable`, having done nothing.
  connectionTimeoutMillis: 5_000,
  // Longer than the server's own limits: nobody is there any more, and the connection with it is given up.
  query_timeout: SESSION_LIMITS_MS.statement_timeout + 2_000,
  // After a failover or a change of a role's settings, old sessions are gone this soon. Shorter costs connects.
  maxLifetimeSeconds: 300,
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
    extra: { ...POOL_OPTIONS, ...connectionTarget(url, SESSION_OPTIONS), types },
  } satisfies DataSourceOptions;
}

/** Connects for the time of `work`. @param options by `databaseOptions` or `readingOptions`. */
export async function withDatabase<Result>(
  options: DataSourceOptions,
  work: (db: Database) => Promise<Result>,
): Promise<Result> {
  const dataSource = await new DataSource(options).initialize();
  try {
    return await work(new TypeOrmDatabase(dataSource));
  } finally {
    await dataSource.destroy();
  }
}

/** For a command that only reads, and takes as long as it takes. It may be pointed at a standby. */
export function readingOptions(url: string) {
  return {
    ...databaseOptions(url, 1),
    extra: {
      Client: ReadingConnection,
      ...connectionTarget(url, UNLIMITED_SESSION_OPTIONS),
      connectionTimeoutMillis: POOL_OPTIONS.connectionTimeoutMillis,
      types,
    },
  } satisfies DataSourceOptions;
}
