import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from '../../src/local/ports.js';
import { built, buildEnv } from './build.js';
import { untilReady } from './until-ready.js';

export interface SandboxProcess {
  url: string;
  child: ChildProcess;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Another sandbox process on the ledger in this database. Several can share one ledger.
 * @param env SANDBOX_WEBHOOK_URL and so on.
 * @param program another program that starts a sandbox.
 */
export async function startSandboxProcess(
  databaseUrl: string,
  env: Record<string, string> = {},
  program = built('src/sandbox/main.js'),
): Promise<SandboxProcess> {
  const port = await freePort('127.0.0.1');
  const child = fork(program, {
    env: {
      PATH: process.env.PATH,
      SANDBOX_DATABASE_URL: databaseUrl,
      SANDBOX_PORT: String(port),
      ...env,
      ...buildEnv(),
    },
    execArgv: [],
  });
  const exit = once(child, 'exit');
  const url = `http://127.0.0.1:${port}`;
  await untilReady(child, async () => (await fetch(`${url}/health/ready`)).status === 200);
  return {
    url,
    child,
    async kill(signal = 'SIGKILL') {
      child.kill(signal);
      await exit;
    },
  };
}
