import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { answers200, freePort } from '../../local/ports.js';
import { signalOnExit } from '../../local/processes.js';
import { ProcessorLedger, type LedgerPayment } from '../program/processor-ledger.js';
import { GALLERY, schemaOf } from './gallery.js';
import type { HostEvent, HostMessage, HostOptions } from './host.messages.js';
import { Meeting } from './meeting.js';

const SRC = import.meta.url.slice(0, import.meta.url.lastIndexOf('/src/') + '/src/'.length);
const PARTS = { host: 'lab/designs/host.js', sandbox: 'sandbox/main.js' };

/** The settings in which the processes of a matrix differ. */
type HostSettings = Pick<HostOptions, 'poolSize'> & Partial<Pick<HostOptions, 'port'>>;

export interface Host {
  port: number;
  pid: number;
  process: ChildProcess;
}

/**
 * The processes of one matrix: hosts that serve all designs, with their own processor and database, so that no other
 * ledger shows their payments. One kill serves all designs: their requests wait at the point, and the process dies.
 */
export class Hosts {
  private readonly running = new Set<ChildProcess>();
  private readonly folder = mkdtempSync(join(tmpdir(), 'charge-once-gallery-'));
  private readonly journalFile = join(this.folder, 'journal.jsonl');
  private readonly byName = new Map<string, Host>();
  private readonly meetings = new Map<Host, { before: Meeting; after: Meeting }>();
  /** Requests that wait at a point, by `run.attempt`. */
  private readonly held = new EventEmitter().setMaxListeners(0);
  /** End a frozen process if this one is killed: it cannot notice that its channel was closed. */
  private readonly guards = new Map<Host, ReturnType<typeof signalOnExit>>();
  private observer: pg.Pool | undefined;
  private sandboxPort = 0;
  private readonly began = new Date();
  private reading: Promise<LedgerPayment[]> | undefined;

  private constructor(
    private readonly server: string,
    private readonly database: string,
  ) {}

  /**
   * @param server a database of the server, with a role that may create databases.
   * @param settings the settings of each process, by its name.
   */
  static async start(server: string, settings: Record<string, HostSettings>): Promise<Hosts> {
    const hosts = new Hosts(server, `charge_once_gallery_${process.pid}_${Date.now()}`);
    try {
      await hosts.create(settings);
      return hosts;
    } catch (error) {
      await hosts.stop();
      throw error;
    }
  }

  portOf(name: string): number {
    return this.named(name).port;
  }

  /** @returns true when that request waits at its point; false when it has ended without reaching it. */
  async untilHeld(id: string, sent: Promise<unknown>): Promise<boolean> {
    return Promise.race([once(this.held, id).then(() => true), sent.then(() => false)]);
  }

  /** What the connections of a design do now: how many wait for a lock, and how many hold a transaction open. */
  async connectionsOf(design: string): Promise<{ waiting: number; open: number }> {
    const { rows } = await this.observer!.query<{ waiting: number; open: number }>(
      `SELECT count(*) FILTER (WHERE wait_event_type = 'Lock')::int AS waiting,
         count(*) FILTER (WHERE state = 'idle in transaction')::int AS open
       FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`,
      [schemaOf(design)],
    );
    return rows[0]!;
  }

  /** Kills the process as soon as the requests of all designs wait at the point. */
  async killTogether(host: Host): Promise<void> {
    await this.meetings.get(host)!.before.meet(() => void host.process.kill('SIGKILL'));
  }

  /** Freezes the process as soon as the requests of all designs wait at the point. */
  async freezeTogether(host: Host): Promise<void> {
    await this.meetings.get(host)!.before.meet(() => {
      this.guards.set(host, signalOnExit(host.pid, 'KILL'));
      host.process.kill('SIGSTOP');
    });
  }

  /** Resumes the process when all designs have ended their work in other processes. */
  async wakeTogether(host: Host, id: string): Promise<void> {
    await this.meetings.get(host)!.after.meet(() => {
      host.process.kill('SIGCONT');
      this.guards.get(host)?.cancel();
    });
    this.release(host, id);
  }

  /** Lets a request continue from its point. In a host that has ended, no request waits. */
  release(host: Host, id: string): void {
    if (host.process.connected) host.process.send({ go: id });
  }

  /** The processor's payments of a run. One read of the ledger serves all callers that asked before it began. */
  async paymentsOf(run: string): Promise<LedgerPayment[]> {
    await this.reading?.catch(() => undefined);
    this.reading ??= new ProcessorLedger(`http://127.0.0.1:${this.sandboxPort}`)
      .payments(this.began)
      .finally(() => (this.reading = undefined));
    const payments = await this.reading;
    return payments.filter(({ metadata }) => metadata.run === run);
  }

  journal(): HostEvent[] {
    // After the last newline there may be a line that a host is still writing.
    const lines = readFileSync(this.journalFile, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as HostEvent);
  }

  async stop(): Promise<void> {
    for (const child of this.running) child.kill('SIGKILL');
    for (const guard of this.guards.values()) guard.cancel();
    await this.observer?.end();
    rmSync(this.folder, { recursive: true, force: true });
    await this.onServer(async (client) => {
      await client.query(`DROP DATABASE IF EXISTS ${this.database} WITH (FORCE)`);
    });
  }

  private async create(settings: Record<string, HostSettings>): Promise<void> {
    await this.onServer(async (client) => {
      await dropAbandoned(client);
      await client.query(`CREATE DATABASE ${this.database}`);
    });
    const url = new URL(this.server);
    url.pathname = this.database;
    await this.createTables(url.href);
    this.observer = new pg.Pool({ connectionString: url.href, max: 1 });
    this.observer.on('error', () => undefined); // the next statement connects again
    this.sandboxPort = await this.startSandbox(url.href);
    const options = { databaseUrl: url.href, sandboxPort: this.sandboxPort };
    const company = Object.keys(GALLERY).length;
    const start = async ([name, { poolSize, port = 0 }]: [string, HostSettings]) => {
      const host = await this.startHost({ ...options, poolSize, port, journal: this.journalFile });
      this.byName.set(name, host);
      this.meetings.set(host, { before: new Meeting(company), after: new Meeting(company) });
    };
    await Promise.all(Object.entries(settings).map(start));
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
      ...{ SANDBOX_DATABASE_URL: databaseUrl, SANDBOX_PORT: String(port), HOST: '127.0.0.1' },
      ...{ SANDBOX_WEBHOOK_URL: '' },
    });
    const ready = `http://127.0.0.1:${port}/health/ready`;
    while (child.exitCode === null && !(await answers200(ready))) await delay(50);
    if (child.exitCode !== null) throw new Error(`the sandbox ended with code ${child.exitCode}`);
    return port;
  }

  private async startHost(options: HostOptions): Promise<Host> {
    const child = this.fork('host', [JSON.stringify(options)]);
    child.on('message', (message: HostMessage) => {
      if ('held' in message) this.held.emit(message.held);
    });
    const died = once(child, 'exit').then(([code]) => {
      throw new Error(`a host of the gallery ended with code ${code} before it listened`);
    });
    const [first] = (await Promise.race([once(child, 'message'), died])) as [HostMessage];
    const port = 'port' in first ? first.port : 0;
    return { port, pid: child.pid ?? 0, process: child };
  }

  private fork(
    part: keyof typeof PARTS,
    args: string[],
    settings: Record<string, string> = {},
  ): ChildProcess {
    const child = fork(new URL(PARTS[part], SRC), args, {
      // eslint-disable-next-line no-restricted-syntax -- nothing is read: the child gets what this process has
      env: { ...process.env, ...settings },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv: ['--enable-source-maps'],
    });
    this.running.add(child);
    child.once('exit', () => this.running.delete(child));
    return child;
  }

  named(name: string): Host {
    const host = this.byName.get(name);
    if (!host) throw new Error(`there is no host ${name}`);
    return host;
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

/** Drops the databases of matrices that were killed. PostgreSQL does not drop one that is in use. */
async function dropAbandoned(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT datname AS name FROM pg_database WHERE datname LIKE 'charge_once_gallery_%'`,
  );
  for (const { name } of rows)
    await client.query(`DROP DATABASE IF EXISTS ${name}`).catch((error: { code?: string }) => {
      if (error.code !== '55006') throw error; // object_in_use: its matrix runs
    });
}
