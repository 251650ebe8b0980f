import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ProbePoint } from '../../src/idempotency/operation.js';
import { freePort } from '../../src/local/ports.js';
import { built, buildEnv } from './build.js';
import { send } from './raw-client.js';
import { until } from './until.js';
import { untilReady } from './until-ready.js';

export interface ApiProcess {
  url: string;
  pid: number;
  /** Resolves when the process has ended, with the signal that killed it. */
  death: Promise<NodeJS.Signals | null>;
  /** Resolves when the process has stopped. */
  asleep(): Promise<void>;
  /** SIGCONT. */
  wake(): void;
  /** Resolves when `count` requests have reached their `dieAt` points. */
  dying(count: number): Promise<void>;
  /** Its log so far. */
  complaints(): string;
  kill(signal?: NodeJS.Signals): Promise<NodeJS.Signals | null>;
}

export interface ApiProcessOptions {
  /** The settings. The process does not inherit the test's environment. */
  env: Record<string, string>;
  /** Kills itself (SIGKILL) when this many requests have reached their `dieAt` points; if absent, never. */
  diesWith?: number;
  /** Whether a request with `napAt` can stop it. */
  naps?: boolean;
}

/** Headers of a request that must die at that point. It waits there until all the others have reached theirs. */
export const dieAt = (point: ProbePoint) => ({ headers: { 'die-at': point } });

/** Whether a process that wakes up first sees which of its connections have ended, before the next statement. */
export type Nap = 'unnoticed' | 'noticing';

/**
 * Headers of a request that waits at that point until `count` of them wait, each at its own point. Then the process
 * stops (SIGSTOP). Needs `naps`.
 */
export const napAt = (point: ProbePoint, count = 1, how: Nap = 'unnoticed') => ({
  headers: { 'nap-at': point, 'nap-count': count, 'nap-how': how },
});

/** One API process, without a supervisor. */
export async function startApiProcess(options: ApiProcessOptions): Promise<ApiProcess> {
  const { env, diesWith, naps = false } = options;
  const port = await freePort('127.0.0.1');
  const script = naps
    ? 'test/support/napping-api.mjs'
    : diesWith === undefined
      ? built('src/programs/api.js')
      : 'test/support/crash-api.mjs';
  const child = spawn(process.execPath, ['--enable-source-maps', resolve(script)], {
    env: {
      PATH: process.env.PATH,
      ALLOW_UNSAFE_DATABASE: '1', // the tests' cluster may lose commits, for speed
      ...env,
      PORT: String(port),
      ...buildEnv(),
      ...(diesWith !== undefined && { DIES_WITH: String(diesWith) }),
    },
    // If the test run is killed, the channel closes and the process ends by itself: see `serve`.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let complaints = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  let dying = 0;
  child.on('message', () => (dying += 1));
  const death = once(child, 'exit').then(([, signal]) => signal as NodeJS.Signals | null);
  const url = `http://127.0.0.1:${port}`;
  await untilReady(
    child,
    async () => (await send(`${url}/health/ready`, { apiKey: null })).status === 200,
    () => complaints,
  );
  return {
    url,
    pid: child.pid ?? 0,
    death,
    asleep: () =>
      until(async () => /^State:\s+T/m.test(await readFile(`/proc/${child.pid}/status`, 'utf8'))),
    wake: () => child.kill('SIGCONT'),
    dying: (count) => until(async () => dying >= count),
    complaints: () => complaints,
    async kill(signal = 'SIGKILL') {
      child.kill(signal);
      return death;
    },
  };
}
