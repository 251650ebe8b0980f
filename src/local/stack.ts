import { lstatSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ensureDemoAccounts } from '../accounts/demo-accounts.js';
import { isConnectionLost } from '../idempotency/errors.js';
import { ProcessLives } from './process-lives.js';
import { othersRunning, runningFile } from './running.js';
import { type LocalSettings } from './settings.js';
import { ChildStopped, type SupervisedChild, supervise } from './supervisor.js';
import { operatorError } from '../programs/operator-error.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.js';
import { migrate } from '../database/migrate.js';

/** Longer than any honest start on a slow machine; without it a child that can never start hangs us. */
const START_TIMEOUT_MS = 60_000;

/** Smaller and it takes a processor from the first requests; larger and an early kill is felt for a second more. */
const STANDBY_AFTER_MS = 5_000;

/** Long enough for a charge at the processor (8 s) to be settled; then the next start recovers it. */
const STOP_GRACE_MS = 10_000;

type ProgramName = 'sandbox' | 'worker' | 'api' | 'lab';

/** A start that failed for a reason the user can mend; the message is all there is to print. */
export class CannotStart extends Error {}

/** The programs of `npm start` and the order in which they come and go. */
export class LocalStack {
  private readonly children = new Map<ProgramName, SupervisedChild>();
  private readonly pids: Record<string, number> = {};
  private postgres: EmbeddedPostgres | undefined;
  private keeping: Promise<void> | undefined;
  private runningFile: string | undefined;
  private starting: Promise<string> | undefined;
  private stopping = false;
  private databaseUrl = '';
  private isReady = false;

  private readonly lives: ProcessLives;

  constructor(
    private readonly settings: LocalSettings,
    private readonly log: (line: string) => void,
  ) {
    this.lives = new ProcessLives(settings.labJournal);
  }

  /**
   * Resolves with the database's URL when a charge can be made.
   * @throws CannotStart, ChildRefusesConfiguration (the child has said why), ChildStopped after stop().
   */
  start(): Promise<string> {
    return (this.starting ??= this.startInOrder());
  }

  private async startInOrder(): Promise<string> {
    const { urls } = this.settings;
    const database = this.startDatabase();
    const env = database.then((databaseUrl) => ({ DATABASE_URL: databaseUrl }));
    env.catch(() => undefined); // `database` itself is waited for below

    // The programs load their code while PostgreSQL starts, and while its schema is looked at.
    const behindTheApi = [this.run('worker', './worker.js', urls.worker, env)];
    if (urls.sandbox)
      behindTheApi.push(this.run('sandbox', '../sandbox/main.js', urls.sandbox, env));
    const lab = urls.lab && this.run('lab', './lab.js', urls.lab, env);
    // The API listens last: whoever can connect to it may rely on everything behind it.
    const allBehind = Promise.all(behindTheApi);
    const api = this.run(
      'api',
      './api.js',
      urls.api,
      allBehind.then(() => env),
    );
    await Promise.all([database, allBehind, api, lab]);
    this.isReady = true;
    this.writeState();
    return database;
  }

  private async startDatabase(): Promise<string> {
    const databaseUrl = this.settings.databaseUrl ?? (await this.startPostgres());
    this.databaseUrl = databaseUrl;
    this.writeState();
    await this.prepare(databaseUrl);
    return databaseUrl;
  }

  private async startPostgres(): Promise<string> {
    const { dataDir } = this.settings;
    const server = await startEmbeddedPostgres({ dataDir, database: 'charge_once' }).catch(
      (cause: Error) => {
        throw new CannotStart(cause.message, { cause });
      },
    );
    this.now(server);
    this.runningFile = await runningFile(this.settings.runningFolder);
    if (lstatSync(dataDir).isSymbolicLink()) {
      this.log(`${dataDir} is closed to PostgreSQL's own user; the data is in ${server.dataDir}`);
    }
    if (server.adopted) this.log('PostgreSQL was still running; took it over');
    this.keeping = this.keepPostgres(server);
    return server.url;
  }

  /** A killed server comes back on the port that everybody knows; their pools connect again. */
  private async keepPostgres(server: EmbeddedPostgres): Promise<void> {
    for (;;) {
      await server.exited;
      if (this.stopping) return;
      this.log(`PostgreSQL (pid ${server.pid}) ended; starting it again`);
      const { dataDir, port } = server;
      const restarted = await startEmbeddedPostgres({
        dataDir,
        database: 'charge_once',
        port,
      }).catch((error: Error) => this.log(error.message));
      if (restarted) this.now((server = restarted));
      else await delay(1_000); // a full disk, say: it heals, or somebody stops us
      if (restarted && this.stopping) await this.leave(server);
    }
  }

  private now(postgres: EmbeddedPostgres): void {
    this.postgres = postgres;
    this.pids.postgres = postgres.pid;
    this.writeState();
  }

  private async prepare(databaseUrl: string): Promise<void> {
    this.stopIfTold();
    try {
      await migrate(databaseUrl, { log: this.log });
      if (this.settings.demoAccounts) await ensureDemoAccounts(databaseUrl);
    } catch (error) {
      const known = operatorError(error);
      if (known) throw new CannotStart(known.line, { cause: error });
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === undefined && !isConnectionLost(error)) throw error; // a bug, with its stack
      const { host, pathname } = new URL(databaseUrl);
      throw new CannotStart(
        `The database ${host}${pathname} cannot be used: ${message || code}. Check DATABASE_URL.`,
      );
    }
  }

  private async run(
    name: ProgramName,
    module: string,
    url: string,
    laterEnv: Promise<NodeJS.ProcessEnv>,
  ): Promise<void> {
    this.stopIfTold();
    const child = supervise({
      name,
      script: fileURLToPath(new URL(module, import.meta.url)),
      env: {
        ...this.settings.env,
        // The sandbox is for this machine's API alone, which looks for it on the loopback.
        ...(name === 'sandbox' ? { HOST: '127.0.0.1' } : {}),
      },
      laterEnv,
      standbyAfterMs: name === 'api' ? STANDBY_AFTER_MS : undefined, // the lab kills it many times a minute
      isReady: () => answers200(`${url}/health/ready`),
      onStart: (pid) => {
        this.pids[name] = pid;
        this.writeState();
        this.lives.record(name, pid, 'started');
      },
      onReady: (pid) => this.lives.record(name, pid, 'ready'),
      onEnd: (pid, end) => this.lives.record(name, pid, 'ended', end),
      log: this.log,
    });
    this.children.set(name, child);
    let timer: NodeJS.Timeout | undefined;
    const startTimer = () => (timer = setTimeout(() => void child.stop(0), START_TIMEOUT_MS));
    laterEnv.then(startTimer, () => undefined);
    try {
      await child.ready;
    } catch (error) {
      if (!(error instanceof ChildStopped) || this.stopping) throw error;
      throw new CannotStart(`${name} was not ready within ${START_TIMEOUT_MS / 1000} s.`);
    } finally {
      clearTimeout(timer);
    }
  }

  private stopIfTold(): void {
    if (this.stopping) throw new ChildStopped('stack');
  }

  /**
   * Stops everything, the first to come last: the API finishes what it has accepted while all that it
   * needs is still there. Leaves no process.
   */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const name of ['lab', 'api', 'worker', 'sandbox'] as const) {
      await this.children.get(name)?.stop(STOP_GRACE_MS);
    }
    await this.starting?.catch(() => undefined); // what was under way when we were told
    this.lives.remove();
    // First: of two that stop at once, the later one sees no other, and stops PostgreSQL.
    if (this.runningFile) rmSync(this.runningFile, { force: true });
    this.runningFile = undefined;
    if (!this.postgres || !(await this.leave(this.postgres))) return;
    await this.keeping; // it may have been starting another one
  }

  /** Stops PostgreSQL, unless another `npm start` uses it. Returns whether it has stopped. */
  private async leave(postgres: EmbeddedPostgres): Promise<boolean> {
    const [other] = await othersRunning(this.settings.runningFolder);
    if (other === undefined) await postgres.stop();
    else postgres.release();
    return other === undefined;
  }

  /** For a second Ctrl-C: nobody is waited for any more; recovery is what the next start is good at. */
  hurry(): void {
    for (const child of this.children.values()) child.kill();
  }

  private writeState(): void {
    const { pidsFile, urls } = this.settings;
    const { isReady: ready, pids, databaseUrl, runningFile } = this;
    const state = JSON.stringify({ ready, pids, urls, databaseUrl });
    for (const file of [pidsFile, runningFile]) {
      if (file === undefined) continue;
      writeFileSync(`${file}.draft`, state, { mode: 0o600 });
      renameSync(`${file}.draft`, file); // a reader never sees half a file
    }
  }
}

/** Whether a GET is answered with 200 within a second. */
async function answers200(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    // No agent: a kept connection would delay the graceful stop of the one that we ask.
    const request = get(url, { agent: false, timeout: 1_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
