import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../../local/ports.js';
import { GALLERY, schemaOf } from './gallery.js';
import type { HostEvent, HostMessage, HostOptions } from './host.messages.js';

/** `…/src/`, in a bundle and in a single module. */
const SRC = import.meta.url.slice(0, import.meta.url.lastIndexOf('/src/') + '/src/'.length);
const PARTS = { host: 'lab/designs/host.js', sandbox: 'sandbox/main.js' };

export interface Host {
  port: number;
  pid: number;
  process: ChildProcess;
}

interface Payment {
  status: string;
  metadata: Record<string, string>;
}

/**
 * The processes of one matrix: hosts that serve all designs, and a processor and a database of their own, so that
 * nothing of it shows in anybody's books. One kill serves all designs: they meet at the point, and die together.
 */
export class Hosts {
  private readonly running = new Set<ChildProcess>();
  private readonly folder = mkdtempSync(join(tmpdir(), 'charge-once-gallery-'));
  private readonly journalFile = join(this.folder, 'journal.jsonl');
  private readonly byName = new Map<string, Host>();
  private readonly meetings = new Map<Host, Meeting>();
  private sandboxPort = 0;
  private reading: Promise<Payment[]> | undefined;

  private constructor(
    private readonly server: string,
    private readonly database: string,
  ) {}

  /** @param server a database of the server, with a role that may create databases. */
  static async start(server: string, company: number): Promise<Hosts> {
    const hosts = new Hosts(server, `charge_once_gallery_${process.pid}_${Date.now()}`);
    try {
      await hosts.create(company);
      return hosts;
    } catch (error) {
      await hosts.stop();
      throw error;
    }
  }

  portOf(name: string): number {
    return this.named(name).port;
  }

  doomed(point: string): Host {
    return this.named(point);
  }

  sleeper(): Host {
    return this.named('sleeper');
  }

  /** Waits until every design is at the point (or its request has ended), and kills the process. */
  async killTogether(host: Host, run: string, sent: Promise<unknown>): Promise<void> {
    await this.meeting(host).arrive(run, sent, () => {
      host.process.kill('SIGKILL');
    });
  }

  async freezeTogether(host: Host, run: string, sent: Promise<unknown>): Promise<void> {
    await this.meeting(host).arrive(run, sent, () => {
      host.process.kill('SIGSTOP');
    });
  }

  /** Wakes the process when every design has ended without it. */
  async wakeTogether(host: Host, run: string): Promise<void> {
    await this.meeting(host).leave(() => {
      host.process.kill('SIGCONT');
    });
    host.process.send({ go: run });
  }

  /** What the processor has under a run. One read of the ledger serves all who asked before it began. */
  async paymentsOf(run: string): Promise<Payment[]> {
    await this.reading?.catch(() => undefined);
    this.reading ??= this.readLedger().finally(() => (this.reading = undefined));
    const payments = await this.reading;
    return payments.filter(({ metadata }) => metadata.run === run);
  }

  private async readLedger(): Promise<Payment[]> {
    const found: Payment[] = [];
    for (let after = ''; ;) {
      const url = `http://127.0.0.1:${this.sandboxPort}/v1/payment_intents?limit=100${after}`;
      const response = await fetch(url, { headers: { Authorization: 'Bearer sk_test_gallery' } });
      if (!response.ok) throw new Error(`the ledger of the gallery answers ${response.status}`);
      const page = (await response.json()) as {
        data: (Payment & { id: string })[];
        has_more: boolean;
      };
      found.push(...page.data);
      if (!page.has_more) return found;
      after = `&starting_after=${page.data.at(-1)?.id}`;
    }
  }

  journal(): HostEvent[] {
    const lines = readFileSync(this.journalFile, 'utf8').split('\n');
    return lines.filter(Boolean).map((line) => JSON.parse(line) as HostEvent);
  }

  async stop(): Promise<void> {
    for (const child of this.running) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
    await this.onServer(async (client) => {
      await client.query(`DROP DATABASE IF EXISTS ${this.database} WITH (FORCE)`);
    });
  }

  private async create(company: number): Promise<void> {
    await this.onServer(async (client) => {
      await client.query(`CREATE DATABASE ${this.database}`);
    });
    const url = new URL(this.server);
    url.pathname = this.database;
    await this.createTables(url.href);
    this.sandboxPort = await this.startSandbox(url.href);
    const options = { databaseUrl: url.href, sandboxPort: this.sandboxPort };
    const start = async (name: string, poolSize: number) => {
      const host = await this.startHost({ ...options, poolSize, journal: this.journalFile });
      this.byName.set(name, host);
      this.meetings.set(host, new Meeting(company));
    };
    await Promise.all([
      start('steady', 2),
      start('before-call', 1),
      start('after-call', 1),
      start('sleeper', 1),
      start('slow', 10),
    ]);
  }

  private async createTables(url: string): Promise<void> {
    const client = new pg.Client(url);
    await client.connect();
    for (const [id, { tables }] of Object.entries(GALLERY)) {
      await client.query(`CREATE SCHEMA ${schemaOf(id)}`);
      await client.query(`SET search_path TO ${schemaOf(id)}`);
      for (const table of tables) await client.query(table);
    }
    await client.end();
  }

  private async startSandbox(databaseUrl: string): Promise<number> {
    const port = await freePort();
    const child = this.fork('sandbox', [], {
      ...process.env,
      ...{ SANDBOX_DATABASE_URL: databaseUrl, SANDBOX_PORT: String(port), HOST: '127.0.0.1' },
      SANDBOX_WEBHOOK_URL: '',
    });
    while (child.exitCode === null && !(await isListening(port))) await delay(50);
    if (child.exitCode !== null) throw new Error(`the sandbox ended with code ${child.exitCode}`);
    return port;
  }

  private async startHost(options: HostOptions): Promise<Host> {
    const child = this.fork('host', [JSON.stringify(options)], process.env);
    child.on('message', (message: HostMessage) => {
      if ('held' in message) this.meetings.get(host)?.isThere(message.held);
    });
    const [first] = (await once(child, 'message')) as [HostMessage];
    const port = 'port' in first ? first.port : 0;
    const host: Host = { port, pid: child.pid ?? 0, process: child };
    return host;
  }

  private fork(part: keyof typeof PARTS, args: string[], env: NodeJS.ProcessEnv): ChildProcess {
    const child = fork(new URL(PARTS[part], SRC), args, {
      env,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv: ['--enable-source-maps'],
    });
    this.running.add(child);
    child.once('exit', () => this.running.delete(child));
    return child;
  }

  private named(name: string): Host {
    const host = this.byName.get(name);
    if (!host) throw new Error(`there is no host ${name}`);
    return host;
  }

  private meeting(host: Host): Meeting {
    return this.meetings.get(host)!;
  }

  private async onServer(work: (client: pg.Client) => Promise<void>): Promise<void> {
    const client = new pg.Client(this.server);
    await client.connect();
    try {
      await work(client);
    } finally {
      await client.end();
    }
  }
}

async function isListening(port: number): Promise<boolean> {
  const url = `http://127.0.0.1:${port}/health/ready`;
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** All requests come to one point, and one thing happens to all of them. */
class Meeting {
  private readonly there = new Set<string>();
  private readonly waiting = new Map<string, () => void>();
  private arrived = 0;
  private left = 0;
  private readonly begun = new Deferred();
  private readonly over = new Deferred();

  constructor(private readonly company: number) {}

  /** A host says that this run's request is at the point. */
  isThere(run: string): void {
    this.there.add(run);
    this.waiting.get(run)?.();
  }

  /** Resolves when all have arrived, and `happen` has run, once. A request that ends before does not hold up the rest. */
  async arrive(run: string, sent: Promise<unknown>, happen: () => void): Promise<void> {
    const isThere = new Promise<void>((done) => {
      this.waiting.set(run, done);
      if (this.there.has(run)) done();
    });
    await Promise.race([isThere, sent]);
    if (++this.arrived === this.company) {
      happen();
      this.begun.resolve();
    }
    await this.begun.promise;
  }

  async leave(happen: () => void): Promise<void> {
    if (++this.left === this.company) {
      happen();
      this.over.resolve();
    }
    await this.over.promise;
  }
}

class Deferred {
  resolve!: () => void;
  readonly promise = new Promise<void>((resolve) => (this.resolve = resolve));
}
