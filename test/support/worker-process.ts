import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { freePort } from '../../src/local/ports.js';
import { built, buildEnv } from './build.js';
import { send } from './raw-client.js';
import { until } from './until.js';
import { untilReady } from './until-ready.js';

/** A background process (`src/programs/worker.ts`), without a supervisor. */
export interface WorkerProcess {
  url: string;
  pid: number;
  /** Sends SIGSTOP; resolves when the process has stopped. */
  sleep(): Promise<void>;
  /** Sends SIGCONT. */
  wake(): void;
  /**
   * Sends a signal (default: SIGKILL) and resolves with the exit code, or with the name of the signal that ended it.
   */
  kill(signal?: NodeJS.Signals): Promise<number | string>;
  /** Its output so far. */
  output(): string;
}

/** @param env the settings. The process does not inherit the test's environment. */
export async function startWorkerProcess(env: Record<string, string>): Promise<WorkerProcess> {
  const port = await freePort('127.0.0.1');
  return ready(
    spawnWorker(built('src/programs/worker.js'), { ...env, WORKER_PORT: String(port) }),
    port,
  );
}

/** A process that has loaded its code and waits for the start command. */
export interface StandbyWorker {
  /** Takes a fraction of a second. */
  start(): Promise<WorkerProcess>;
  /** Ends the process without a start. */
  dismiss(): void;
}

export async function prepareWorkerProcess(env: Record<string, string>): Promise<StandbyWorker> {
  const child = spawnWorker('test/support/standby-worker.mjs', env);
  const [loaded] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as unknown[];
  if (loaded !== 'loaded') throw new Error(`the worker did not load its code: ${String(loaded)}`);
  return {
    async start() {
      const port = await freePort('127.0.0.1'); // chosen late: another program could take it before this one listens
      child.send(port);
      return ready(child, port);
    },
    dismiss: () => void child.kill('SIGKILL'),
  };
}

function spawnWorker(script: string, env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, ['--enable-source-maps', resolve(script)], {
    env: {
      PATH: process.env.PATH,
      ALLOW_UNSAFE_DATABASE: '1', // the tests' cluster may lose commits, for speed
      ...env,
      ...buildEnv(),
    },
    // If the test run is killed, the channel closes and the process ends by itself: see `serve`.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
}

async function ready(child: ChildProcess, port: number): Promise<WorkerProcess> {
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exit = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  const url = `http://127.0.0.1:${port}`;
  await untilReady(
    child,
    async () => (await send(`${url}/health/ready`, { apiKey: null })).status === 200,
    () => output,
  );
  return {
    url,
    pid: child.pid ?? 0,
    async sleep() {
      child.kill('SIGSTOP');
      await until(async () =>
        /^State:\s+T/m.test(await readFile(`/proc/${child.pid}/status`, 'utf8')),
      );
    },
    wake: () => child.kill('SIGCONT'),
    async kill(signal = 'SIGKILL') {
      child.kill(signal);
      return exit;
    },
    output: () => output,
  };
}
