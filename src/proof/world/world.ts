import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { openSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../local/ports.js';
import { supervise, type SupervisedChild } from '../../local/supervisor.js';
import type { Delivery, Mail } from '../history.js';
import { Link } from '../links/link.js';
import { startMailServer } from './mail-server.js';
import { startMerchant } from './merchant.js';
import { keepPostgres, type KeptPostgres } from './postgres.js';

const run = promisify(execFile);

/** Shorter than the default of 8 s, so that a campaign has more recoveries in it. */
const PROCESSOR_TIMEOUT_MS = 3_000;

/** The processor's deadline and two seconds, as the service computes it. */
export const LEASE_MS = PROCESSOR_TIMEOUT_MS + 2_000;

export interface Account {
  id: string;
  apiKey: string;
}

/** Names of links, each `from → to`. */
export type LinkName =
  | 'client → api'
  | 'api → postgres'
  | 'worker → postgres'
  | 'processor → postgres'
  | 'api → processor'
  | 'worker → processor'
  | 'processor → api'
  | 'worker → mail'
  | 'worker → merchant';

export type ProgramName = 'api' | 'worker' | 'processor';

/** The whole service with everything around it, on this machine. */
export interface World {
  postgres: KeptPostgres;
  accounts: Account[];
  /** One link for each process at its end. */
  links: Map<LinkName, Link[]>;
  /** The ports that clients use: those of the links. */
  apiPorts: number[];
  /** Around the links, to prepare and to read. */
  directApi: string;
  directProcessor: string;
  merchantUrl: (account: string) => string;
  programs: Record<ProgramName, SupervisedChild[]>;
  isReady(program: ProgramName, index: number): Promise<boolean>;
  stop(): Promise<void>;
}

export interface WorldOptions {
  /** For data and logs. */
  folder: string;
  /** The folder of built programs, `dist/src/programs`. */
  programs: string;
  apis: number;
  workers: number;
  accounts: number;
  onMail: (mail: Mail) => void;
  onDelivery: (delivery: Delivery) => void;
}

export async function startWorld(options: WorldOptions): Promise<World> {
  const { folder, programs: bin } = options;
  const postgres = await keepPostgres(join(folder, 'postgres'));
  const path = { PATH: '/usr/local/bin:/usr/bin:/bin' };
  const runProgram = async (name: string, ...args: string[]) =>
    run(process.execPath, [join(bin, `${name}.js`), ...args], {
      env: { ...path, DATABASE_URL: postgres.url },
    });
  await runProgram('migrate');
  await postgres.query('CREATE DATABASE processor');
  const accounts: Account[] = [];
  for (let i = 1; i <= options.accounts; i++) {
    const { stdout } = await runProgram('account', 'create', `Proof ${i}`);
    const id = /acct_\w+/.exec(stdout)?.[0] ?? '';
    accounts.push({ id, apiKey: /API key\s+(\S+)/.exec(stdout)?.[1] ?? '' });
  }

  const [mailPort, merchantPort, processorPort] = await Promise.all([
    startMailServer(options.onMail),
    startMerchant(options.onDelivery),
    freePort(),
  ]);
  const links = new Map<LinkName, Link[]>();
  const link = async (name: LinkName, target: number, kind?: 'postgres') => {
    const opened = await Link.open(target, kind);
    links.set(name, [...(links.get(name) ?? []), opened]);
    return opened.port;
  };
  const databaseThrough = (port: number, database = 'charge_once') => {
    const url = new URL(postgres.url);
    url.port = String(port);
    url.pathname = `/${database}`;
    return url.href;
  };
  const output = openSync(join(folder, 'programs.log'), 'a');
  const all: SupervisedChild[] = [];
  const start = (name: string, script: string, port: number, env: NodeJS.ProcessEnv) => {
    const child = supervise({
      name,
      script: join(bin, script),
      env: { ...path, LOG_LEVEL: 'info', HOST: '127.0.0.1', ...env },
      isReady: () => answers(port),
      log: () => undefined,
      output,
    });
    all.push(child);
    return child;
  };

  const secret = `whsec_${randomBytes(18).toString('hex')}`;
  const apiPorts = await Promise.all(Array.from({ length: options.apis }, () => freePort()));
  const common = {
    RATE_LIMIT_PER_SECOND: '100000',
    RATE_LIMIT_BURST: '100000',
    DATABASE_POOL_SIZE: '6',
    PROCESSOR_TIMEOUT_MS: String(PROCESSOR_TIMEOUT_MS),
    PROCESSOR_WEBHOOK_SECRET: secret,
    IDEMPOTENCY_WAIT_MS: '2000',
    WEBHOOK_TIMEOUT_MS: '3000',
    LAB: '1', // its header kills the API at a named point
  };
  const processor = start('processor', '../sandbox/main.js', processorPort, {
    SANDBOX_PORT: String(processorPort),
    SANDBOX_DATABASE_URL: databaseThrough(
      await link('processor → postgres', postgres.port, 'postgres'),
      'processor',
    ),
    SANDBOX_WEBHOOK_URL: `http://127.0.0.1:${await link('processor → api', apiPorts[0]!)}/webhooks/processor`,
    SANDBOX_WEBHOOK_SECRET: secret,
    // From before our own commit to long after it, in any order, each twice.
    SANDBOX_WEBHOOK_DELAY_MS: '0',
    SANDBOX_WEBHOOK_SHUFFLE_MS: '6000',
    SANDBOX_WEBHOOK_COPIES: '2',
  });
  const envOf = async (who: 'api' | 'worker') => ({
    ...common,
    DATABASE_URL: databaseThrough(await link(`${who} → postgres`, postgres.port, 'postgres')),
    PROCESSOR_URL: `http://127.0.0.1:${await link(`${who} → processor`, processorPort)}`,
  });
  const smtp = `smtp://127.0.0.1:${await link('worker → mail', mailPort)}`;
  const workerPorts = await Promise.all(Array.from({ length: options.workers }, () => freePort()));
  const workers: SupervisedChild[] = [];
  for (const port of workerPorts) {
    const env = { ...(await envOf('worker')), WORKER_PORT: String(port), SMTP_URL: smtp };
    workers.push(start('worker', 'worker.js', port, env));
  }
  const apis: SupervisedChild[] = [];
  for (const port of apiPorts)
    apis.push(start('api', 'api.js', port, { ...(await envOf('api')), PORT: String(port) }));
  const publicPorts: number[] = [];
  for (const port of apiPorts) publicPorts.push(await link('client → api', port));
  const forMerchants = await link('worker → merchant', merchantPort);

  const ports = { api: apiPorts, worker: workerPorts, processor: [processorPort] };
  const stop = async () => {
    await Promise.all(all.map((child) => child.stop(3_000)));
    await postgres.stop();
  };
  try {
    await Promise.all(all.map(({ ready }) => ready));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    postgres,
    accounts,
    links,
    apiPorts: publicPorts,
    directApi: `http://127.0.0.1:${apiPorts[0]}`,
    directProcessor: `http://127.0.0.1:${processorPort}`,
    merchantUrl: (account) => `http://127.0.0.1:${forMerchants}/${account}`,
    programs: { api: apis, worker: workers, processor: [processor] },
    isReady: (program, index) => answers(ports[program][index]!),
    stop,
  };
}

/** Whether `/health/ready` answers 200 within a second. */
async function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const options = {
      host: '127.0.0.1',
      port,
      path: '/health/ready',
      agent: false,
      timeout: 1_000,
    };
    const request = get(options, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
