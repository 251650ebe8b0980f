import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { freePort } from '../../src/platform/ports.js';
import { send } from './raw-client.js';
import { until } from './until.js';

/** A background process (`dist/src/worker.js`), without a supervisor. */
export interface WorkerProcess {
  url: string;
  pid: number;
  /** SIGSTOP; resolves when it has stopped. */
  sleep(): Promise<void>;
  /** SIGCONT. */
  wake(): void;
  /** Sends a signal (SIGKILL by default) and resolves with the exit code, or the name of the signal that ended it. */
  kill(signal?: NodeJS.Signals): Promise<number | string>;
  /** All that it has printed. */
  output(): string;
}

/** @param env the settings; the caller's environment is not passed on. */
export async function startWorkerProcess(env: Record<string, string>): Promise<WorkerProcess> {
  const port = await freePort('127.0.0.1');
  const child = spawn(process.execPath, ['--enable-source-maps', resolve('dist/src/worker.js')], {
    env: {
      PATH: process.env.PATH,
      ALLOW_UNSAFE_DATABASE: '1', // the tests' cluster is fast because it may forget
      ...env,
      WORKER_PORT: String(port),
    },
    // The channel closes when the test run is killed, and the process then ends by itself: see `serve`.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  const exit = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  let ended = false;
  void exit.then(() => (ended = true));

  const url = `http://127.0.0.1:${port}`;
  await until(
    async () => ended || (await send(`${url}/health/ready`, { apiKey: null })).status === 200,
    150_000, // on a starved machine the imports alone take 40 s
  );
  if (ended) throw new Error(`the worker ended before it was ready: ${output}`);
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
