import { fork } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from '../../src/platform/ports.js';
import { until } from './until.js';

export interface SandboxProcess {
  url: string;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Another sandbox on the ledger in this database, as a process of its own; the ledger is told by all that share it.
 * @param env SANDBOX_WEBHOOK_URL and so on.
 */
export async function startSandboxProcess(
  databaseUrl: string,
  env: Record<string, string>,
): Promise<SandboxProcess> {
  const port = await freePort('127.0.0.1');
  const child = fork('dist/src/sandbox/main.js', {
    env: {
      PATH: process.env.PATH,
      SANDBOX_DATABASE_URL: databaseUrl,
      SANDBOX_PORT: String(port),
      ...env,
    },
    execArgv: [],
  });
  const exit = once(child, 'exit');
  let ended = false;
  void exit.then(() => (ended = true));
  const url = `http://127.0.0.1:${port}`;
  await until(async () => ended || (await fetch(`${url}/health/ready`)).status === 200);
  if (ended) throw new Error('the sandbox ended before it was ready');
  return {
    url,
    async kill(signal = 'SIGKILL') {
      child.kill(signal);
      await exit;
    },
  };
}
