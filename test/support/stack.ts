import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { signal } from '../../src/local/processes.js';
import { built } from './build.js';
import { copyCluster, freshDatabase } from './database.js';
import { NO_LIMIT } from './no-limit.js';
import { until } from './until.js';
import { untilReady } from './until-ready.js';

export type Program = 'api' | 'worker' | 'sandbox' | 'lab' | 'postgres';

export interface StackOptions {
  /** Environment variables. The programs do not inherit the test's environment. */
  env?: Record<string, string>;
  /** The size of the API's pool and of the worker's. */
  pool?: number;
  /**
   * Its own PostgreSQL with default durability, for tests that kill it. Default: a database on the tests' cluster,
   * which is faster but loses commits when killed. `from nothing`: includes initdb and the migrations of a first start.
   */
  embedded?: boolean | 'from nothing';
  /** With `embedded`: the DATA_DIR to use and keep. */
  dataDir?: string;
}

export interface Stack {
  apiUrl: string;
  workerUrl: string;
  sandboxUrl: string;
  labUrl: string;
  databaseUrl: string;
  /** The current pid. It changes when the supervisor restarts the program. */
  pid(name: Program): Promise<number>;
  apiPid(): Promise<number>;
  workerPid(): Promise<number>;
  /** The pid of `src/programs/local.ts` itself. */
  supervisorPid: number;
  /** Sends SIGKILL; resolves with the pid as soon as the signal is sent. */
  kill(name: Program): Promise<number>;
  /** Resolves when the program runs with another pid. */
  restarted(name: Program, killedPid: number): Promise<void>;
  /** Everything that the processes have printed so far. */
  output(): string;
  /**
   * Sends a signal (default: SIGTERM) to the supervisor and resolves with its exit code; drops the database.
   * Idempotent.
   */
  stop(name?: NodeJS.Signals): Promise<number | null>;
}

interface State {
  ready: boolean;
  pids: Partial<Record<Program, number>>;
  urls: { api: string; worker: string; sandbox?: string; lab?: string };
  databaseUrl: string;
}

/** The whole of `npm start`: real processes on free ports. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const home = await mkdtemp(join(tmpdir(), 'charge-once-stack-'));
  await chmod(home, 0o755); // mkdtemp makes it 0700, and under root, PostgreSQL runs as another user
  const database = options.embedded ? undefined : await freshDatabase();
  const cluster = join(options.dataDir ?? join(home, '.data'), 'postgres');
  if (options.embedded === true && !options.env?.DATABASE_URL && !existsSync(cluster)) {
    await mkdir(dirname(cluster), { recursive: true });
    await copyCluster(cluster);
  }
  const pidsFile = join(home, 'pids.json');
  const readState = async () => JSON.parse(await readFile(pidsFile, 'utf8')) as State;

  const supervisor = spawn(
    process.execPath,
    ['--enable-source-maps', built('src/programs/local.js')],
    {
      cwd: home,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        PORT: '0',
        WORKER_PORT: '0',
        SANDBOX_PORT: '0',
        LAB_PORT: '0',
        ...NO_LIMIT,
        CHARGE_ONCE_PIDS_FILE: pidsFile,
        // The tests' cluster may lose commits, for speed.
        ...(database ? { DATABASE_URL: database.url, ALLOW_UNSAFE_DATABASE: '1' } : {}),
        ...(options.dataDir ? { DATA_DIR: options.dataDir } : {}),
        ...(options.pool ? { DATABASE_POOL_SIZE: String(options.pool) } : {}),
        ...options.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  for (const stream of [supervisor.stdout, supervisor.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const exit = once(supervisor, 'exit') as Promise<[number | null]>;

  let stopped: Promise<number | null> | undefined;
  const stop = (name: NodeJS.Signals = 'SIGTERM') =>
    (stopped ??= (async () => {
      supervisor.kill(name);
      const [code] = await exit;
      await database?.drop();
      await rm(home, { recursive: true, force: true });
      return code;
    })());

  try {
    await untilReady(
      supervisor,
      async () => (await readState()).ready,
      () => output,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  const { urls, databaseUrl } = await readState();
  const pid = async (name: Program) => {
    const found = (await readState()).pids[name];
    if (found === undefined) throw new Error(`${name} is not one of this stack's programs`);
    return found;
  };
  return {
    apiUrl: urls.api,
    workerUrl: urls.worker,
    sandboxUrl: urls.sandbox ?? '',
    labUrl: urls.lab ?? '',
    databaseUrl,
    pid,
    apiPid: () => pid('api'),
    workerPid: () => pid('worker'),
    supervisorPid: supervisor.pid ?? 0,
    async kill(name) {
      const victim = await pid(name);
      signal(victim, 'SIGKILL');
      return victim;
    },
    restarted: (name, killedPid) => until(async () => (await pid(name)) !== killedPid),
    output: () => output,
    stop,
  };
}
