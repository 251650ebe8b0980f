import type { AddressInfo } from 'node:net';
import type { DynamicModule } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import { ensureDemoAccounts } from '../../src/accounts/demo-accounts.js';
import { AppModule } from '../../src/app.module.js';
import { WorkerModule } from '../../src/worker.module.js';
import { loadConfig } from '../../src/config.js';
import { createHttpApp } from '../../src/http/http-process.js';
import { startSandbox, type Sandbox } from '../../src/sandbox/sandbox.server.js';
import { startApiProcess, type ApiProcess, type ApiProcessOptions } from './api-process.js';
import { freshDatabase, openPool } from './database.js';
import { startGate, type Gate } from './gate.js';
import { NO_LIMIT } from './no-limit.js';

export interface ServiceOptions {
  /** Environment variables of the API and the worker. */
  env?: Record<string, string>;
  /** How long `pm_lab_slow` takes, in ms. */
  slowMs?: number;
  /** A database to use and keep. Default: a new one, dropped at the end. */
  databaseUrl?: string;
  /** The database of the processor's ledger. Default: the same one. */
  ledgerUrl?: string;
}

/** A program that runs inside this process. */
export interface Running {
  url: string;
  /** Its connection pool. */
  dataSource: DataSource;
  stop(): Promise<void>;
}

/**
 * API, sandbox and PostgreSQL as in `npm start`, over real sockets but inside this process, so that it starts quickly.
 * Tests that kill a program use `startApiProcess` or `startStack`. No worker runs unless a test starts one: what a test
 * sees is caused by its own requests.
 */
export interface Service {
  apiUrl: string;
  sandboxUrl: string;
  databaseUrl: string;
  db: pg.Pool;
  gate: Gate;
  /** The environment of the programs. */
  env: Record<string, string>;
  startApi(env?: Record<string, string>): Promise<Running>;
  startWorker(env?: Record<string, string>): Promise<Running>;
  /** Stops the workers that still run, for `afterEach`. */
  stopWorkers(): Promise<void>;
  /** Another API in its own process, which a test can kill. */
  startApiProcess(options?: Partial<ApiProcessOptions>): Promise<ApiProcess>;
  /** Stops the processor. The returned function starts it again at the same address. */
  stopSandbox(): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

export async function startService(options: ServiceOptions = {}): Promise<Service> {
  const made = options.databaseUrl === undefined ? await freshDatabase() : undefined;
  const databaseUrl = options.databaseUrl ?? made!.url;
  await ensureDemoAccounts(databaseUrl);
  const { ledgerUrl = databaseUrl, slowMs } = options;
  let sandbox: Sandbox | undefined = await startSandbox({ databaseUrl: ledgerUrl, slowMs });
  const { port, url: sandboxUrl } = sandbox;
  const gate = await startGate(() => sandboxUrl);
  const db = openPool(databaseUrl);
  const urls = { DATABASE_URL: databaseUrl, PROCESSOR_URL: gate.url };
  const env = { ...urls, LAB: '1', ...NO_LIMIT, ...options.env };

  const running = new Set<Running>();
  const workers: Running[] = [];
  const processes: ApiProcess[] = [];
  const run = async (module: DynamicModule): Promise<Running> => {
    const app = await createHttpApp(module);
    app.useLogger(false);
    await app.listen(0, '127.0.0.1');
    const program = {
      url: urlOf(app),
      dataSource: app.get(DataSource),
      stop: async () => {
        if (running.delete(program)) await app.close();
      },
    };
    running.add(program);
    return program;
  };
  const startApi = (more = {}) => run(AppModule.forRoot(loadConfig({ ...env, ...more })));

  return {
    apiUrl: (await startApi()).url,
    sandboxUrl,
    databaseUrl,
    db,
    gate,
    env,
    startApi,
    async startWorker(more = {}) {
      const worker = await run(WorkerModule.forRoot(loadConfig({ ...env, ...more })));
      workers.push(worker);
      return worker;
    },
    async stopWorkers() {
      await Promise.all(workers.splice(0).map((worker) => worker.stop()));
    },
    async startApiProcess(how) {
      const started = await startApiProcess({ ...how, env: { ...env, ...how?.env } });
      processes.push(started);
      return started;
    },
    async stopSandbox() {
      await sandbox?.close();
      sandbox = undefined;
      return async () => {
        sandbox = await startSandbox({ databaseUrl: ledgerUrl, slowMs, port });
      };
    },
    async stop() {
      await Promise.all(processes.map((started) => started.kill()));
      await Promise.all([...running].map((program) => program.stop()));
      await gate.stop();
      await sandbox?.close();
      await db.end();
      await made?.drop();
    },
  };
}

function urlOf(app: NestExpressApplication): string {
  const { port } = app.getHttpServer().address() as AddressInfo;
  return `http://127.0.0.1:${port}`;
}
