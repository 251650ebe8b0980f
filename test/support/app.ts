import { Logger, type LoggerService, type Type } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { addApiKey, createAccount } from '../../src/accounts/new-account.js';
import { AppModule } from '../../src/app.module.js';
import { loadConfig } from '../../src/config.js';
import type { EngineProbe } from '../../src/idempotency/operation.js';
import { TypeOrmDatabase } from '../../src/database/database.js';
import { createHttpApp } from '../../src/http/http-process.js';
import { startSandbox, type SandboxOptions } from '../../src/sandbox/sandbox.server.js';
import { NO_LIMIT } from './no-limit.js';

export interface AppOptions {
  /** The application's way to PostgreSQL, if it differs from the test's. */
  databaseUrl?: string;
  /** Replaces `process.env`; has a suitable `DATABASE_URL` and `PROCESSOR_URL` already. */
  env?: Record<string, string>;
  /** Replaces the default probe of the engine. */
  probe?: Type<EngineProbe>;
  sandbox?: Partial<SandboxOptions>;
}

export interface TestAccount {
  id: string;
  apiKey: string;
}

export interface TestApp {
  /** Without a trailing slash. */
  url: string;
  port: number;
  sandboxUrl: string;
  databaseUrl: string;
  /** Two accounts that no other test uses. */
  acme: TestAccount;
  globex: TestAccount;
  /** The test's own connections, apart from the application's pool. */
  db: DataSource;
  /** The application's log so far, one string for each call. */
  logs: string[];
  stop(): Promise<void>;
}

/** The API and its sandbox in this process, on free ports, on the tests' PostgreSQL. */
export async function startApp(options: AppOptions = {}): Promise<TestApp> {
  const databaseUrl = options.env?.DATABASE_URL ?? process.env.DATABASE_URL ?? '';
  const db = await openDatabase(databaseUrl);
  const sandbox = await startSandbox({ databaseUrl, ...options.sandbox });
  const env = {
    ...{ PROCESSOR_URL: sandbox.url, ...NO_LIMIT, ...options.env },
    DATABASE_URL: options.databaseUrl ?? databaseUrl,
  };
  const closeTheRest = async () => {
    await sandbox.close();
    await db.destroy();
  };
  const app = await Promise.resolve()
    .then(() => createHttpApp(AppModule.forRoot(loadConfig(env), options.probe)))
    .catch(async (error: unknown) => {
      await closeTheRest(); // otherwise Jest waits for them forever
      throw error;
    });
  const logs: string[] = [];
  app.useLogger(collect(logs));
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    sandboxUrl: sandbox.url,
    databaseUrl,
    acme: await makeAccount(db, 'Acme'),
    globex: await makeAccount(db, 'Globex'),
    db,
    logs,
    async stop() {
      app.getHttpServer().closeAllConnections();
      await app.close();
      await closeTheRest();
      Logger.overrideLogger(['error', 'fatal']);
    },
  };
}

export async function makeAccount(dataSource: DataSource, name: string): Promise<TestAccount> {
  const db = new TypeOrmDatabase(dataSource);
  const id = await createAccount(db, name);
  return { id, apiKey: await addApiKey(db, id) };
}

function openDatabase(url: string): Promise<DataSource> {
  const extra = { max: 2 };
  return new DataSource({ type: 'postgres', url, installExtensions: false, extra }).initialize();
}

function collect(lines: string[]): LoggerService {
  const log = (...parts: unknown[]) => void lines.push(parts.map(asText).join(' '));
  return { log, warn: log, error: log, fatal: log, debug: log, verbose: log };
}

function asText(part: unknown): string {
  if (part instanceof Error) return part.stack ?? part.message;
  return typeof part === 'string' ? part : JSON.stringify(part);
}
