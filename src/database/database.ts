import { TypeOrmModule } from '@nestjs/typeorm';
import type { DynamicModule } from '@nestjs/common';
import pg from 'pg';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { Database, TypeOrmDatabase, type Queryable, type Tx } from '../idempotency/database.js';
import { Connection, ReadingConnection } from './connection.js';
import { connectionTarget } from './connection-target.js';
import {
  LONG_SESSION_OPTIONS,
  SESSION_LIMITS_MS,
  SESSION_OPTIONS,
  UNLIMITED_SESSION_OPTIONS,
} from './session.js';

export { Database, TypeOrmDatabase, type Queryable, type Tx };

/** `pg` returns bigint as text. Our amounts and sums stay far below 2^53; a larger value is a fault, so throw. */
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

/** In ms. A request that gets no connection within this time is answered `database_unavailable`; it has done nothing. */
const CONNECT_TIMEOUT_MS = 5_000;

export function poolOptions(url: string) {
  return {
    ...connectionTarget(url, SESSION_OPTIONS),
    Client: Connection,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    // Longer than the server's own limits. If it expires, the server is not responding, and the connection is closed.
    query_timeout: SESSION_LIMITS_MS.statement_timeout + 2_000,
    // After a failover or a change of role settings, old sessions end within this time. With a shorter time, more
    // connections are opened.
    maxLifetimeSeconds: 300,
  } satisfies pg.PoolConfig;
}

/** The pool. TypeORM manages connections, transactions and migrations. SQL stays beside the code that runs it. */
export function databaseModule(url: string, poolSize: number): DynamicModule {
  return TypeOrmModule.forRoot({ ...databaseOptions(url, poolSize), retryAttempts: 1 });
}

/** The same options for a command, which creates its own `DataSource`. */
export function databaseOptions(url: string, poolSize: number) {
  return {
    type: 'postgres',
    url,
    installExtensions: false,
    poolSize,
    applicationName: 'charge-once',
    extra: { ...poolOptions(url), types },
  } satisfies DataSourceOptions;
}

/** Connects, runs `work`, disconnects. @param options from one of the functions around it. */
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

/** For a command that only reads, without time limits. It may connect to a standby. */
export function readingOptions(url: string) {
  return commandOptions(url, ReadingConnection, UNLIMITED_SESSION_OPTIONS);
}

/** For a command whose statements may take any time. */
export function longOptions(url: string) {
  return commandOptions(url, Connection, LONG_SESSION_OPTIONS);
}

function commandOptions(url: string, Client: typeof Connection, sessionOptions: string) {
  return {
    ...databaseOptions(url, 2),
    extra: {
      Client,
      ...connectionTarget(url, sessionOptions),
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      types,
    },
  } satisfies DataSourceOptions;
}
