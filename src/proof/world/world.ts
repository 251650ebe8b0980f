import { randomBytes } from 'node:crypto';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { answers200, freePort } from '../../local/ports.js';
import { supervise, type SupervisedChild } from '../../local/supervisor.js';
import type { Delivery, Mail } from '../history.js';
import { Link, type Protocol } from '../links/link.js';
import { createAccounts, PATH, type Account } from './accounts.js';
import { shiftClock, shiftedClock } from './clock.js';
import { startMailServer } from './mail-server.js';
import { startMerchant } from './merchant.js';
import { keepPostgres, type KeptPostgres } from './postgres.js';

const WORKERS = 2;
const STOP_GRACE_MS = 3_000;

/** Shorter than the default of 8 s, so that a campaign has more recoveries in it. */
const PROCESSOR_TIMEOUT_MS = 3_000;

/** The processor's deadline and two seconds, as the service computes it. */
export const LEASE_MS = PROCESSOR_TIMEOUT_MS + 2_000;

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

/** A process that is started again whenever it dies. */
export interface Program extends SupervisedChild {
  port: number;
  isReady: () => Promise<boolean>;
  /** Shifts its wall clock by this offset from ours. */
  shiftClock: (offsetMs: number) => Promise<void>;
}

/** The service with its PostgreSQL, processor, mail server and merchants, on this machine. */
export interface World {
  postgres: KeptPostgres;
  accounts: Account[];
  /** For each name, one link for each process at its end. */
  links: Map<LinkName, Link[]>;
  /** The ports that clients use: those of the links. Each program also has its own port, without a link. */
  apiPorts: number[];
  merchantUrl: (account: string) => string;
  programs: Record<ProgramName, Program[]>;
  stop(): Promise<void>;
}

export interface WorldOptions {
  /** The folder for data and logs. */
  folder: string;
  /** The folder of built programs, `dist/src/programs`. */
  programs: string;
  apis: number;
  /** PostgreSQL's disk can be filled. */
  smallDisk: boolean;
  onMail: (mail: Mail) => void;
  onDelivery: (delivery: Delivery) => void;
}

export async function startWorld(options: WorldOptions): Promise<World> {
  const postgres = await keepPostgres(join(options.folder, 'postgres'), options.smallDisk);
  const starting = new StartingWorld(options, postgres);
  try {
    return await starting.start();
  } catch (error) {
    await starting.stop();
    throw error;
  }
}

class StartingWorld {
  private readonly links = new Map<LinkName, Link[]>();
  private readonly all: Program[] = [];
  private readonly output: number;
  private readonly secret = `whsec_${randomBytes(18).toString('hex')}`;

  constructor(
    private readonly options: WorldOptions,
    private readonly postgres: KeptPostgres,
  ) {
    this.output = openSync(join(options.folder, 'programs.log'), 'a');
  }

  async start(): Promise<World> {
    const { postgres, links, options } = this;
    const accounts = await createAccounts(options.programs, postgres.url);
    await postgres.query('CREATE DATABASE processor');
    const [mailPort, merchantPort, processorPort] = await Promise.all([
      startMailServer(options.onMail).then(({ port }) => port),
      startMerchant(options.onDelivery),
      freePort(),
    ]);
    const smtp = `smtp://127.0.0.1:${await this.link('worker → mail', mailPort, 'smtp')}`;
    const apiPorts = await Promise.all(Array.from({ length: options.apis }, () => freePort()));
    const processor = await this.startProcessor(processorPort, apiPorts[0]!);
    const workers: Program[] = [];
    for (let i = 0; i < WORKERS; i++) {
      const port = await freePort();
      const env = { WORKER_PORT: String(port), SMTP_URL: smtp };
      workers.push(await this.startService('worker', port, processorPort, env));
    }
    const apis: Program[] = [];
    for (const port of apiPorts)
      apis.push(await this.startService('api', port, processorPort, { PORT: String(port) }));
    const publicPorts: number[] = [];
    for (const port of apiPorts) publicPorts.push(await this.link('client → api', port));
    const forMerchants = await this.link('worker → merchant', merchantPort);
    await Promise.all(this.all.map(({ ready }) => ready));
    return {
      postgres,
      accounts,
      links,
      apiPorts: publicPorts,
      merchantUrl: (account) => `http://127.0.0.1:${forMerchants}/${account}`,
      programs: { api: apis, worker: workers, processor: [processor] },
      stop: () => this.stop(),
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((child) => child.stop(STOP_GRACE_MS)));
    await this.postgres.stop();
  }

  private async startProcessor(port: number, apiPort: number): Promise<Program> {
    const webhooks = await this.link('processor → api', apiPort);
    return this.run('processor', '../sandbox/main.js', port, {
      SANDBOX_PORT: String(port),
      SANDBOX_DATABASE_URL: await this.databaseThrough('processor → postgres', 'processor'),
      SANDBOX_WEBHOOK_URL: `http://127.0.0.1:${webhooks}/webhooks/processor`,
      SANDBOX_WEBHOOK_SECRET: this.secret,
      // From before our own commit to long after it, in any order, two copies of each.
      SANDBOX_WEBHOOK_DELAY_MS: '0',
      SANDBOX_WEBHOOK_SHUFFLE_MS: '6000',
      SANDBOX_WEBHOOK_COPIES: '2',
    });
  }

  private async startService(
    name: 'api' | 'worker',
    port: number,
    processorPort: number,
    own: NodeJS.ProcessEnv,
  ): Promise<Program> {
    const processor = await this.link(`${name} → processor`, processorPort);
    return this.run(name, `${name}.js`, port, {
      RATE_LIMIT_PER_SECOND: '100000',
      RATE_LIMIT_BURST: '100000',
      DATABASE_POOL_SIZE: '6',
      DATABASE_URL: await this.databaseThrough(`${name} → postgres`, 'charge_once'),
      PROCESSOR_URL: `http://127.0.0.1:${processor}`,
      PROCESSOR_TIMEOUT_MS: String(PROCESSOR_TIMEOUT_MS),
      PROCESSOR_WEBHOOK_SECRET: this.secret,
      IDEMPOTENCY_WAIT_MS: '2000',
      IDEMPOTENCY_REAP_INTERVAL_SECONDS: '2',
      WEBHOOK_TIMEOUT_MS: '3000',
      LAB: '1', // its header kills the API at a named point
      ...own,
    });
  }

  private run(name: ProgramName, script: string, port: number, env: NodeJS.ProcessEnv): Program {
    const isReady = () => answers200(`http://127.0.0.1:${port}/health/ready`);
    const clock = join(this.options.folder, `clock-${name}-${port}`);
    const child = supervise({
      name,
      script: join(this.options.programs, script),
      env: {
        ...{ PATH, LOG_LEVEL: 'info', HOST: '127.0.0.1' },
        NODE_OPTIONS: `--import=${shiftedClock(clock)}`,
        ...env,
      },
      isReady,
      log: () => undefined,
      output: this.output,
    });
    const program = { ...child, port, isReady, shiftClock: (ms: number) => shiftClock(clock, ms) };
    this.all.push(program);
    return program;
  }

  private async link(name: LinkName, target: number, protocol: Protocol = 'http'): Promise<number> {
    const opened = await Link.open(target, protocol);
    this.links.set(name, [...(this.links.get(name) ?? []), opened]);
    return opened.port;
  }

  private async databaseThrough(name: LinkName, database: string): Promise<string> {
    const url = new URL(this.postgres.url);
    const protocol = name === 'worker → postgres' ? 'postgres, all commits' : 'postgres';
    url.port = String(await this.link(name, this.postgres.port, protocol));
    url.pathname = `/${database}`;
    return url.href;
  }
}
