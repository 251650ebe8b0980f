import { Logger, type LoggerService, type Type } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { addApiKey, createAccount } from '../../src/accounts/accounts.js';
import { AppModule } from '../../src/app.module.js';
import { loadConfig } from '../../src/config.js';
import type { EngineProbe } from '../../src/idempotency/operation.js';
import { TypeOrmDatabase } from '../../src/database/database.js';
import { createHttpApp } from '../../src/http/http-process.js';
import { startSandbox, type SandboxOptions } from '../../src/sandbox/sandbox.server.js';

export interface AppOptions {
  /** Where the application finds PostgreSQL, when that is another way than the test's own. */
  databaseUrl?: string;
  /** Read as `process.env` would be, over a `DATABASE_URL` and `PROCESSOR_URL` that fit. */
  env?: Record<string, string>;
  /** Told each point of the engine, in place of the default. */
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
  /** Two accounts that nobody else uses. */
  acme: TestAccount;
  globex: TestAccount;
  /** A connection of the test's own, beside the application's pool. */
  db: DataSource;
  /** What the application has logged so far, a text for each call. */
  logs: string[];
  stop(): Promise<void>;
}

/** A test that polls or floods means something else. */
const NO_LIMIT = { RATE_LIMIT_PER_SECOND: '100000', RATE_LIMIT_BURST: '100000' };

/** The API and its sandbox in this process, on free ports, over the PostgreSQL of the tests. */
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
      await closeTheRest(); // else Jest waits for them for ever
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
