import { lstatSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ensureDemoAccounts } from '../accounts/demo-accounts.js';
import { isConnectionLost } from '../idempotency/errors.js';
import { keepRestarting } from './keep-restarting.js';
import { answers200 } from './ports.js';
import { ProcessLives } from './process-lives.js';
import { othersRunning, runningFile } from './running.js';
import { type LocalSettings } from './settings.js';
import { ChildStopped, type SupervisedChild, supervise } from './supervisor.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.js';
import { migrate } from '../database/migrate.js';

/** Longer than any start on a slow machine. Without it, a child that never becomes ready would hang the start. */
const START_TIMEOUT_MS = 60_000;

/** With a shorter delay the standby takes CPU from the first requests; with a longer one an early restart is slower. */
const STANDBY_AFTER_MS = 5_000;

/** Long enough to settle a charge at the processor (8 s). A charge that takes longer is recovered at the next start. */
const STOP_GRACE_MS = 10_000;

type ProgramName = 'sandbox' | 'worker' | 'api' | 'lab';

/** A start failed for a reason that the user can repair. Only the message is printed. */
export class CannotStart extends Error {}

/** Starts and stops the programs of `npm start` in order. */
export class LocalStack {
  private readonly children = new Map<ProgramName, SupervisedChild>();
  private readonly pids: Record<string, number> = {};
  private postgres: EmbeddedPostgres | undefined;
  private keepingPostgres: Promise<void> | undefined;
  private runningFile: string | undefined;
  private starting: Promise<string> | undefined;
  private stopping = false;
  private databaseUrl = '';
  private isReady = false;

  private readonly lives: ProcessLives;

  constructor(
    private readonly settings: LocalSettings,
    private readonly log: (line: string) => void,
    /** One line for an error that the user can repair. */
    private readonly explain: (error: unknown) => string | undefined,
  ) {
    this.lives = new ProcessLives(settings.labJournal);
  }

  /**
   * Resolves with the database's URL when charges can be made.
   * @throws CannotStart, ChildRefusesConfiguration (the child has printed the reason), ChildStopped after stop().
   */
  start(): Promise<string> {
    return (this.starting ??= this.startInOrder());
  }

  private async startInOrder(): Promise<string> {
    const { urls } = this.settings;
    const database = this.startDatabase();
    const env = database.then((databaseUrl) => ({ DATABASE_URL: databaseUrl }));
    env.catch(() => undefined); // `database` itself is awaited below

    // The programs load their code while PostgreSQL starts and is migrated.
    const dependenciesStarting = [this.run('worker', './worker.js', urls.worker, env)];
    if (urls.sandbox)
      dependenciesStarting.push(this.run('sandbox', '../sandbox/main.js', urls.sandbox, env));
    const lab = urls.lab && this.run('lab', './lab.js', urls.lab, env);
    // The API listens last, so that a client that can connect can rely on everything behind it.
    const dependencies = Promise.all(dependenciesStarting);
    const api = this.run(
      'api',
      './api.js',
      urls.api,
      dependencies.then(() => env),
    );
    await Promise.all([database, dependencies, api, lab]);
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
    const options = { dataDir, database: 'charge_once' };
    const server = await startEmbeddedPostgres(options).catch((cause: Error) => {
      throw new CannotStart(cause.message, { cause });
    });
    this.setPostgres(server);
    this.runningFile = await runningFile(this.settings.runningFolder);
    if (lstatSync(dataDir).isSymbolicLink()) {
      this.log(`${dataDir} is closed to PostgreSQL's own user; the data is in ${server.dataDir}`);
    }
    if (server.adopted) this.log('PostgreSQL was still running; took it over');
    this.keepingPostgres = keepRestarting(server, {
      options: { ...options, dataDir: server.dataDir },
      isStopping: () => this.stopping,
      onEnd: ({ pid }) => this.log(`PostgreSQL (pid ${pid}) ended; starting it again`),
      onStart: (restarted) => this.setPostgres(restarted),
      onFailure: ({ message }) => this.log(message),
      stop: (restarted) => this.releasePostgres(restarted),
    });
    return server.url;
  }

  private setPostgres(postgres: EmbeddedPostgres): void {
    this.postgres = postgres;
    this.pids.postgres = postgres.pid;
    this.writeState();
  }

  private async prepare(databaseUrl: string): Promise<void> {
    this.throwIfStopping();
    try {
      await migrate(databaseUrl, { log: this.log });
      if (this.settings.demoAccounts) await ensureDemoAccounts(databaseUrl);
    } catch (error) {
      const known = this.explain(error);
      if (known !== undefined) throw new CannotStart(known, { cause: error });
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
    this.throwIfStopping();
    const child = supervise({
      name,
      script: fileURLToPath(new URL(module, import.meta.url)),
      env: {
        ...this.settings.env,
        // Only the API on this machine uses the sandbox, over the loopback.
        ...(name === 'sandbox' ? { HOST: '127.0.0.1' } : {}),
      },
      laterEnv,
      standbyAfterMs: name === 'api' ? STANDBY_AFTER_MS : undefined, // lab faults kill it many times a minute
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

  private throwIfStopping(): void {
    if (this.stopping) throw new ChildStopped('stack');
  }

  /**
   * Stops everything in reverse order: the API finishes its requests while the programs that it needs still run.
   * Leaves no process behind.
   */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const name of ['lab', 'api', 'worker', 'sandbox'] as const) {
      await this.children.get(name)?.stop(STOP_GRACE_MS);
    }
    await this.starting?.catch(() => undefined); // the steps in progress when the stop began
    this.lives.remove();
    // Remove the file first: if two stacks stop in parallel, the later one sees no other and stops PostgreSQL.
    if (this.runningFile) rmSync(this.runningFile, { force: true });
    this.runningFile = undefined;
    if (!this.postgres || !(await this.releasePostgres(this.postgres))) return;
    await this.keepingPostgres; // it may be restarting the server
  }

  /** Stops PostgreSQL, unless another `npm start` uses it. Returns whether it has stopped. */
  private async releasePostgres(postgres: EmbeddedPostgres): Promise<boolean> {
    const [other] = await othersRunning(this.settings.runningFolder);
    if (other === undefined) await postgres.stop();
    else postgres.release();
    return other === undefined;
  }

  /** For a second Ctrl-C: kills the children immediately. The next start recovers. */
  killChildren(): void {
    for (const child of this.children.values()) child.kill();
  }

  private writeState(): void {
    const { pidsFile, urls } = this.settings;
    const { isReady: ready, pids, databaseUrl, runningFile } = this;
    const state = JSON.stringify({ ready, pids, urls, databaseUrl });
    for (const file of [pidsFile, runningFile]) {
      if (file === undefined) continue;
      writeFileSync(`${file}.draft`, state, { mode: 0o600 });
      renameSync(`${file}.draft`, file); // so that readers never see an incomplete file
    }
  }
}
