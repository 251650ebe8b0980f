import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import type { ProbePoint } from '../../src/idempotency/operation.js';
import { freePort } from '../../src/platform/ports.js';
import { send } from './client.js';
import { until } from './until.js';

export interface ApiProcess {
  url: string;
  pid: number;
  /** Resolves when the process has ended, with the signal that ended it. */
  death: Promise<NodeJS.Signals | null>;
  kill(signal?: NodeJS.Signals): Promise<NodeJS.Signals | null>;
}

export interface ApiProcessOptions {
  /** The settings; the caller's environment is not passed on. */
  env: Record<string, string>;
  /** Where it kills itself (SIGKILL); never, if left out. */
  crashAt?: ProbePoint;
  /** How many requests have to arrive there; the others wait for the last one. */
  crashWhen?: number;
}

/** One API process, without a supervisor. */
export async function startApiProcess(options: ApiProcessOptions): Promise<ApiProcess> {
  const { env, crashAt, crashWhen = 1 } = options;
  const port = await freePort('127.0.0.1');
  const script = crashAt === undefined ? 'dist/src/main.js' : 'test/support/crash-api.mjs';
  const child = spawn(process.execPath, ['--enable-source-maps', resolve(script)], {
    env: {
      PATH: process.env.PATH,
      ...env,
      PORT: String(port),
      ...(crashAt && { CRASH_AT: crashAt, CRASH_WHEN: String(crashWhen) }),
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  const death = once(child, 'exit').then(([, signal]) => signal as NodeJS.Signals | null);
  let dead = false;
  void death.then(() => (dead = true));

  const url = `http://127.0.0.1:${port}`;
  await until(
    async () => dead || (await send(`${url}/health/ready`, { apiKey: null })).status === 200,
    60_000,
  );
  if (dead) throw new Error(`the API process ended before it was ready: ${complaints}`);
  return {
    url,
    pid: child.pid ?? 0,
    death,
    async kill(signal = 'SIGKILL') {
      child.kill(signal);
      return death;
    },
  };
}
